import type { Clock } from "@cdh/core/clock";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { Circuit } from "./circuit.ts";
import { LookGate } from "./look-gate.ts";
import type { Queue, QueueItem } from "./queue.ts";

/** The name of the lane to the default store. */
export const DEFAULT_LANE = "default";

/** Say where the bundles of a lane go. */
export interface LaneOptions {
  /** The rule's name, or `default`. */
  name: string;
  store: ObjectStore;
  board?: NoticeBoard | undefined;
  /** Most uploads at the same time. */
  concurrency: number;
}

/**
 * The way to one store: its own circuit and its own uploads, so that a store in trouble, or one that hangs, holds up
 * nobody's but its own.
 */
export class Lane {
  readonly name: string;
  /** The rule's name; undefined for the default store. */
  readonly rule: string | undefined;
  readonly store: ObjectStore;
  readonly board: NoticeBoard | undefined;
  readonly circuit: Circuit;
  readonly look: LookGate;
  readonly #concurrency: number;
  #running = 0;

  constructor({ name, store, board, concurrency }: LaneOptions, clock: Clock) {
    this.name = name;
    this.rule = name === DEFAULT_LANE ? undefined : name;
    this.store = store;
    this.board = board;
    this.#concurrency = concurrency;
    this.circuit = new Circuit(clock);
    this.look = new LookGate(clock, concurrency);
  }

  /** Take the bundle that may begin now; {@link ended} must follow. */
  begin(queue: Queue, now: number): QueueItem | undefined {
    const next = queue.nextMoment(this.name);
    if (this.#running >= this.#concurrency || next === undefined || next > now) return undefined;
    if (!this.look.isOpen || !this.circuit.tryBegin()) return undefined;
    const item = queue.take(now, this.name);
    if (item === undefined) return undefined;
    this.#running += 1;
    this.look.began();
    return item;
  }

  /** An upload that {@link begin} gave leave to is over. */
  ended(): void {
    this.#running -= 1;
  }

  /** Whether a bundle is under way, or may begin now because the store is well. */
  isBusy(queue: Queue, now: number): boolean {
    const next = queue.nextMoment(this.name);
    return !this.circuit.isOpen && (this.#running > 0 || (next !== undefined && next <= now));
  }

  /** Whether bundles wait because the store is in trouble. */
  isTroubled(queue: Queue): boolean {
    return this.circuit.isOpen && (this.#running > 0 || queue.nextMoment(this.name) !== undefined);
  }

  /** When something may begin that cannot now; undefined when nothing waits, or the end of an upload tells. */
  nextMoment(queue: Queue): number | undefined {
    const next = queue.nextMoment(this.name);
    if (next === undefined || this.#running >= this.#concurrency || this.circuit.isProbing) return undefined;
    return Math.max(next, this.circuit.nextAttemptAt ?? 0);
  }
}
