import { soon } from "@cdh/core/async/soon";
import type { Clock } from "@cdh/core/clock";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { Semaphore } from "@cdh/core/store/semaphore";
import type { ObjectStore } from "@cdh/core/store/store";
import { isGarbage } from "../index/store-reader.ts";
import { GROUP_STATE_LIMITS, type GroupState } from "../manifests/group-state.ts";
import { parseInThread } from "../manifests/thread.ts";
import {
  GROUP_FOLDER,
  newestStates,
  type NewestStates,
  parseStateKey,
  stateFolder,
  STATES_MAX,
  statesOf,
} from "./state-keys.ts";

/** A request looks again when the last look is older than this, and waits so long for it. */
const FRESH_MS = 1000;
const WAIT_MS = 3000;
/** Times that a change is tried again when somebody else's came between. */
const TRIES = 4;
const READS_AT_ONCE = 16;

/** What keeping states needs. */
export interface GroupStatesOptions {
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  intervalMs: number;
  /** Tell whether a group is there, or may be. */
  isThere: (namespace: string, id: string) => boolean;
  /** Told of each group whose state is another one. */
  onChange: (namespace: string, id: string) => void;
}

interface Held {
  sequence: number;
  /** Undefined for an object that cannot be read. */
  state: GroupState | undefined;
}

/**
 * Keep what people say about groups: an object for each, in the store, so that it outlives the dumps and every replica knows it.
 * Each change is an object of its own with the next number, which the store accepts once: of two who change the same, one
 * is refused and looks again.
 */
export class GroupStates {
  readonly #options: GroupStatesOptions;
  readonly #held = new Map<string, Held>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #trouble: string | undefined;
  #leftOut: ReadonlyMap<string, number> = new Map();
  #endedAt: string | undefined;

  constructor(options: GroupStatesOptions) {
    this.#options = options;
  }

  /** Whether all of it was read once: until then what is not known may have been said. */
  get isLoaded(): boolean {
    return this.#lookedAt > Number.NEGATIVE_INFINITY;
  }

  /** Groups about which something is said in the store that is not held, because there is too much of it. */
  get leftOut(): number {
    return [...this.#leftOut.values()].reduce((sum, count) => sum + count, 0);
  }

  of(namespace: string, id: string): GroupState | undefined {
    return this.#held.get(`${namespace}/${id}`)?.state;
  }

  /** Look again and again until told to stop. */
  async run(stopSignal: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.#options;
    while (!stopSignal.aborted) {
      await this.#look(stopSignal);
      await clock.sleep(intervalMs, stopSignal).catch(() => {});
    }
    await this.#running;
  }

  /** Make sure that what others changed is known, as far as the store answers soon. Never rejects. */
  async freshen(): Promise<void> {
    const { clock } = this.#options;
    if (this.#trouble !== undefined || clock.monotonic() - this.#lookedAt < FRESH_MS) return;
    await soon(this.#look(), WAIT_MS, clock);
  }

  /**
   * Change what is said about a group.
   * @param change of what is said by now; undefined: nothing changes
   * @returns what is said then
   * @throws {TooManyStates} when of too many groups of the namespace something is said, and all of them are there
   * @throws {CdhError} CDH_STORE_CONFLICT when others change it at the same time, again and again; the CDH_STORE family
   */
  async change(
    namespace: string,
    id: string,
    change: (before: GroupState | undefined) => GroupState | undefined,
  ): Promise<GroupState | undefined> {
    const { store } = this.#options;
    const folder = stateFolder(namespace, id);
    for (let turn = 1; ; turn += 1) {
      const keys = await statesOf(store, namespace, id);
      const newest = keys.at(-1);
      const known = newest === undefined ? undefined : await this.#hold(newest);
      const wanted = change(known?.state);
      if (wanted === undefined) return known?.state;
      if (newest === undefined) await this.#makeRoom(namespace);
      const sequence = (known?.sequence ?? 0) + 1;
      const key = `${folder}${String(sequence).padStart(8, "0")}.json`;
      const body = Buffer.from(`${JSON.stringify({ schemaVersion: 1, ...wanted, at: toRfc3339(wanted.at) })}\n`);
      try {
        await store.putBytes(key, body, { contentType: "application/json" });
      } catch (error) {
        if (turn < TRIES && error instanceof CdhError && error.code === "CDH_STORE_CONFLICT") continue;
        throw error;
      }
      const after = await statesOf(store, namespace, id);
      const last = after.at(-1);
      // Who was slow may have taken a number that others had used and given up: theirs would hide what was said now.
      if (last !== undefined && last > key) {
        if (turn < TRIES) continue;
        throw new CdhError("CDH_STORE_CONFLICT", `${folder} was changed by others, again and again`);
      }
      this.#set(namespace, id, { sequence, state: wanted });
      await this.#tidy(after.filter((one) => one < key));
      return wanted;
    }
  }

  /** Where there is no room for one more group of a namespace, what was said first of those that are gone goes. @throws {TooManyStates} */
  async #makeRoom(namespace: string): Promise<void> {
    const { store, isThere, log } = this.#options;
    const { keys } = await newestStates(store, stateFolder(namespace));
    if (keys.size < STATES_MAX) return;
    const gone: { id: string; at: number }[] = [];
    for (const key of keys.values()) {
      const { id = "" } = parseStateKey(key) ?? {};
      if (!isThere(namespace, id)) gone.push({ id, at: (await this.#hold(key))?.state?.at ?? 0 });
    }
    const [oldest] = gone.toSorted((a, b) => a.at - b.at);
    if (oldest === undefined) throw new TooManyStates(namespace);
    for (const key of await statesOf(store, namespace, oldest.id)) await store.delete(key);
    this.#drop(`${namespace}/${oldest.id}`);
    log.info("what was said about a group that is gone made room", { audit: true, namespace, name: oldest.id });
  }

  #tellLeftOut({ leftOut, endedAt }: NewestStates): void {
    const { log } = this.#options;
    for (const [namespace, groups] of leftOut) {
      if (this.#leftOut.get(namespace) === groups) continue;
      log.warn("of too many groups of a namespace something is said: the rest is left out", { namespace, groups });
    }
    if (endedAt !== undefined && this.#endedAt !== endedAt)
      log.warn("what is said about groups is too much to list: of later namespaces nothing is known", { endedAt });
    this.#leftOut = leftOut;
    this.#endedAt = endedAt;
  }

  /** What was said before is of no use; one that stays is passed over. */
  async #tidy(keys: readonly string[]): Promise<void> {
    const { store, log } = this.#options;
    const deleted = await Promise.allSettled(keys.map((key) => store.delete(key)));
    for (const one of deleted) {
      if (one.status === "rejected")
        log.warn("an old state of a group is left in the store", { reason: reasonOf(one.reason) });
    }
  }

  #look(signal?: AbortSignal): Promise<void> {
    this.#running ??= this.#lookOnce(signal).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #lookOnce(signal: AbortSignal | undefined): Promise<void> {
    const { store, clock, log } = this.#options;
    try {
      const newest = await newestStates(store, GROUP_FOLDER, signal);
      const slots = new Semaphore(READS_AT_ONCE);
      await Promise.all([...newest.keys.values()].map((key) => slots.run(() => this.#hold(key, signal))));
      for (const place of this.#held.keys()) if (!newest.keys.has(place)) this.#drop(place);
      this.#tellLeftOut(newest);
      this.#trouble = undefined;
      this.#lookedAt = clock.monotonic();
    } catch (error) {
      if (signal?.aborted === true) return;
      const reason = reasonOf(error);
      if (this.#trouble !== reason) log.warn("cannot read what is said about groups", { reason });
      this.#trouble = reason;
    }
  }

  /** Read an object, unless it is known or an older one. */
  async #hold(key: string, signal?: AbortSignal): Promise<Held | undefined> {
    const { namespace = "", id = "", sequence = 0 } = parseStateKey(key) ?? {};
    const known = this.#held.get(`${namespace}/${id}`);
    if (known !== undefined && known.sequence >= sequence) return known;
    const held = { sequence, state: await this.#read(key, signal) };
    const meanwhile = this.#held.get(`${namespace}/${id}`);
    if (meanwhile !== undefined && meanwhile.sequence >= sequence) return meanwhile;
    this.#set(namespace, id, held);
    return held;
  }

  async #read(key: string, signal: AbortSignal | undefined): Promise<GroupState | undefined> {
    const { store, log } = this.#options;
    const body = await store.get(key, { offset: 0, length: GROUP_STATE_LIMITS.bytes }, signal);
    if (body === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(Buffer.from(chunk));
    try {
      return await parseInThread("groupState", Buffer.concat(chunks), key);
    } catch (error) {
      if (!isGarbage(error)) throw error;
      log.warn("what is said about a group cannot be read and is left out", { key, reason: reasonOf(error) });
      return undefined;
    }
  }

  #set(namespace: string, id: string, held: Held): void {
    this.#held.set(`${namespace}/${id}`, held);
    this.#options.onChange(namespace, id);
  }

  #drop(place: string): void {
    this.#held.delete(place);
    const [namespace = "", id = ""] = place.split("/");
    this.#options.onChange(namespace, id);
  }
}

/** Says that there is no room for one more. */
export class TooManyStates extends Error {
  override readonly name = "TooManyStates";

  constructor(namespace: string) {
    super(`of ${STATES_MAX} groups of ${namespace} something is said already, and all of them are there`);
  }
}
