import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import type { ApiError } from "./api-error.ts";
import type { Exchange } from "./exchange.ts";

/** Refusals of one share that are written at once, and then one in this time. */
const BURST = 10;
const REFILL_MS = 10_000;
/** The same for all shares together. */
const BURST_ALL = 100;
const REFILL_ALL_MS = 500;
/** Shares that are remembered. */
const SHARES_MAX = 1000;

interface Budget {
  tokens: number;
  /** Monotonic milliseconds. */
  filledAt: number;
  /** Refusals since the last line that have none of their own. */
  unlogged: number;
}

/**
 * Write who was refused what into the audit log. Whoever is refused again and again gets a line now and then, which
 * says how many there were between: nobody fills the log.
 */
export class RefusalLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #shares = new Map<string, Budget>();
  readonly #all: Budget;
  /** Of shares that are forgotten. */
  #unloggedOthers = 0;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#all = { tokens: BURST_ALL, filledAt: clock.monotonic(), unlogged: 0 };
  }

  /** Note a refusal. The query, which may hold a ticket, and the headers are not written. */
  note(exchange: Exchange, error: ApiError): void {
    const now = this.#clock.monotonic();
    const budget = this.#budgetOf(exchange.share, now);
    if (!take(budget, now, BURST, REFILL_MS) || !take(this.#all, now, BURST_ALL, REFILL_ALL_MS)) {
      budget.unlogged += 1;
      return;
    }
    const { caller } = exchange;
    const forwardedFor = caller?.via === "frontProxy" ? exchange.request.headers["x-forwarded-for"] : undefined;
    this.#log.info("refused", {
      audit: true,
      status: error.status,
      ...(caller === undefined ? {} : { user: caller.user, via: caller.via }),
      method: exchange.method,
      path: exchange.path.slice(0, 200),
      from: exchange.remoteAddress,
      ...(typeof forwardedFor === "string" ? { forwardedFor: forwardedFor.slice(0, 200) } : {}),
      ...(budget.unlogged === 0 ? {} : { unlogged: budget.unlogged }),
      ...(this.#unloggedOthers === 0 ? {} : { unloggedOthers: this.#unloggedOthers }),
    });
    budget.unlogged = 0;
    this.#unloggedOthers = 0;
  }

  #budgetOf(share: string, now: number): Budget {
    const budget = this.#shares.get(share) ?? { tokens: BURST, filledAt: now, unlogged: 0 };
    // The one that was refused longest ago is forgotten first.
    this.#shares.delete(share);
    this.#shares.set(share, budget);
    for (const [oldest, { unlogged }] of this.#shares) {
      if (this.#shares.size <= SHARES_MAX) break;
      this.#shares.delete(oldest);
      this.#unloggedOthers += unlogged;
    }
    return budget;
  }
}

function take(budget: Budget, now: number, burst: number, refillMs: number): boolean {
  budget.tokens = Math.min(burst, budget.tokens + (now - budget.filledAt) / refillMs);
  budget.filledAt = now;
  if (budget.tokens < 1) return false;
  budget.tokens -= 1;
  return true;
}
