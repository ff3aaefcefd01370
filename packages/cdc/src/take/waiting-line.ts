import { createHash } from "node:crypto";
import type { Clock } from "@cdh/core/clock";
import type { Native } from "../self/native.ts";
import type { CrashOwner } from "../who/crash-owner.ts";
import { makesWay, mayTry, nextInLine, type Owner } from "./line-order.ts";
import { SlotFiles } from "./slot-files.ts";
import { Tickets, type Ticket } from "./tickets.ts";

/** Milliseconds until the next in line looks again. Each of n others looks n times as seldom, up to a limit. */
const POLL_MS = 20;
const POLL_MAX_MS = 500;

/** Milliseconds between a holder's looks at who waits. */
const WATCH_MS = 100;

/** A core whose next frame (1 MiB) takes longer than this, in milliseconds, trickles. */
const TRICKLE_MS = 500;

/** When so long nothing moves, in milliseconds, the first in line is stuck, and others may pass. */
const STUCK_MS = 1_000;

/** What a place in the line needs. */
export interface LineOptions {
  coreDir: string;
  /** Composers that compress at once. */
  slots: number;
  native: Native;
  clock: Clock;
  /** Whose crash it is. Must resolve soon: nobody is in line before. */
  owner: Promise<CrashOwner>;
  /** Asked for and awaited before the line's own files are made: the last inode of a disk is not for them. */
  ready: () => Promise<unknown>;
}

/**
 * A composer's place in the node's waiting line. It takes one of the slots, in an order that is fair to namespaces and
 * pods, and gives it up when its core trickles or when others have a better claim; then it waits again. Without locks,
 * and where the spool can't hold the files, there is no line: keeping the core comes first.
 */
export class LinePlace {
  readonly #options: LineOptions;
  #slots: SlotFiles | undefined;
  #tickets: Tickets | undefined;
  #watching: NodeJS.Timeout | undefined;
  #takenAt = 0;
  #since: number;
  /** When the core began to fill a frame, monotonic milliseconds; undefined while it is ours to work. */
  #readingSince: number | undefined;
  #isBroken = false;
  #isReleased = false;
  #entering: Promise<void> | undefined;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#since = options.clock.now();
    this.#isBroken = !options.native.isThere;
  }

  /** Wait for a slot. Undefined when there is no need to. */
  enter(stop: AbortSignal): Promise<void> | undefined {
    this.#readingSince = undefined;
    if (this.#isBroken || this.#slots?.isHeld === true) return undefined;
    this.#entering ??= this.#enter(stop)
      .catch(async () => {
        // A full or unwritable spool has no line; the write itself will tell.
        this.#isBroken = true;
        await this.release().catch(() => {});
      })
      .finally(() => (this.#entering = undefined));
    return this.#entering;
  }

  /** Tell whether it waits behind others. */
  get isInLine(): boolean {
    return this.#tickets?.mine !== undefined;
  }

  /** Note that the core is being read now: from here on its time counts. */
  reading(): void {
    this.#readingSince = this.#options.clock.monotonic();
  }

  /** Give the slot back, for good. */
  async release(): Promise<void> {
    this.#isReleased = true;
    clearInterval(this.#watching);
    await this.#tickets?.drop();
    await this.#slots?.release();
    await this.#slots?.close();
  }

  async #enter(stop: AbortSignal): Promise<void> {
    const { coreDir, native, clock, ready } = this.#options;
    this.#tickets ??= new Tickets(coreDir, native);
    this.#slots ??= await SlotFiles.open(coreDir, this.#options.slots, native, ready);
    if (this.#isReleased) return await this.release();
    // On a quiet node nobody has to be known first.
    if ((await this.#tickets.list()).length === 0 && this.#slots.tryTake()) return void this.#took();
    const owner = hashed(await this.#options.owner);
    await ready();
    await this.#tickets.draw(owner, this.#since).catch(() => {});
    let [moved, movedAt] = ["", clock.monotonic()];
    while (!stop.aborted && !this.#isReleased) {
      const { waiters, slots } = await this.#look(owner);
      const now = JSON.stringify([slots, waiters[0]?.fileName]);
      if (now !== moved) [moved, movedAt] = [now, clock.monotonic()];
      const { mine } = this.#tickets;
      const me = waiters.find(({ fileName }) => fileName === mine?.fileName);
      const isStuck = clock.monotonic() - movedAt > STUCK_MS;
      // Without a ticket, such as on a full disk, it is first come, first served.
      if ((me === undefined || isStuck || mayTry(me, waiters, slots)) && this.#slots.tryTake()) {
        await this.#tickets.drop();
        return this.#took();
      }
      const isNext = me === undefined || nextInLine(waiters, slots) === me;
      await clock.sleep(isNext ? POLL_MS : Math.min(POLL_MAX_MS, POLL_MS * waiters.length), stop).catch(() => {});
    }
    await this.#tickets.drop();
  }

  /** See who waits and who works. The first in line is alive, and so is one's own ticket. */
  async #look(owner: Owner): Promise<{ waiters: Ticket[]; slots: Awaited<ReturnType<SlotFiles["look"]>> }> {
    const [tickets, slotFiles] = [this.#tickets, this.#slots];
    if (tickets === undefined || slotFiles === undefined) return { waiters: [], slots: [] };
    const [listed, slots] = await Promise.all([tickets.list(), slotFiles.look()]);
    let waiters = listed;
    const { mine } = tickets;
    if (mine !== undefined && !waiters.some(({ fileName }) => fileName === mine.fileName)) {
      await tickets.draw(owner, this.#since).catch(() => {});
      waiters = await tickets.list();
    }
    for (;;) {
      const next = nextInLine(waiters, slots);
      if (next === undefined || next.fileName === tickets.mine?.fileName) break;
      if (!(await tickets.removeDead(next))) break;
      waiters = waiters.filter((other) => other !== next);
    }
    return { waiters, slots };
  }

  #took(): void {
    const { clock, owner } = this.#options;
    this.#takenAt = clock.monotonic();
    const takenAt = clock.now();
    void owner.then((known) => this.#slots?.sign(hashed(known), takenAt)).catch(() => {});
    let isLooking = false;
    this.#watching = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      this.#makeWay()
        .catch(() => {})
        .finally(() => (isLooking = false));
    }, WATCH_MS);
    this.#watching.unref();
  }

  async #makeWay(): Promise<void> {
    const { clock } = this.#options;
    if (this.#slots?.isHeld !== true || (await this.#tickets?.list())?.length === 0) return;
    const owner = hashed(await this.#options.owner);
    const { waiters, slots } = await this.#look(owner);
    const next = nextInLine(waiters, slots);
    if (next === undefined) return;
    const now = clock.monotonic();
    const trickles = this.#readingSince !== undefined && now - this.#readingSince > TRICKLE_MS;
    const { index } = this.#slots;
    if (!makesWay({ ...owner, index, heldMs: now - this.#takenAt, trickles }, next, slots)) return;
    clearInterval(this.#watching);
    // It had its turn: who came meanwhile has waited longer.
    this.#since = clock.now();
    await this.#slots.release();
  }
}

/** Names of any length become what a file's name and a slot can hold. */
function hashed({ namespace, pod }: CrashOwner): Owner {
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);
  return { group: hash(namespace), member: hash(`${namespace}\n${pod}`) };
}
