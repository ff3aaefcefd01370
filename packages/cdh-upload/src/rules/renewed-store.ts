import { ownedItems } from "@cdh/core/async/owned-items";
import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type {
  ByteRange,
  CheckedAccess,
  CheckedRight,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutResult,
  PutSource,
} from "@cdh/core/store/store";

/** Credentials are looked up again when they were used for so long, or were refused. */
const FIXED_MS = 30_000;

/** What opens a store with the credentials of this moment. */
export interface Opened {
  /** Differs when the credentials do. */
  fingerprint: string;
  open(): Promise<ObjectStore>;
}

/** What a renewed store is given. */
export interface RenewedStoreOptions {
  url: string;
  clock: Pick<Clock, "monotonic">;
  log: Logger;
  /** Reads the credentials. @throws {CdhError} when there are none, or they are none */
  look(): Promise<Opened>;
}

interface Current {
  store: ObjectStore;
  fingerprint: string;
  users: number;
  isRetired: boolean;
}

/**
 * A store whose credentials are replaced while it is used. What is under way goes on with those that it began with.
 * Where there are none at this moment, the last ones serve; before there were any, each call fails.
 */
export class RenewedStore implements ObjectStore {
  readonly url: string;
  readonly #options: RenewedStoreOptions;
  #current: Current | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<Current> | undefined;

  constructor(options: RenewedStoreOptions) {
    this.url = options.url;
    this.#options = options;
  }

  putFile(key: string, source: PutSource, options?: PutOptions): Promise<PutResult> {
    return this.#use((store) => store.putFile(key, source, options));
  }

  putBytes(key: string, body: Uint8Array, options?: PutOptions): Promise<PutResult> {
    return this.#use((store) => store.putBytes(key, body, options));
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#use((store) => store.head(key, signal));
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    const current = await this.#take();
    let isHandedOn = false;
    try {
      const body = await current.store.get(key, range, signal);
      if (body === undefined) return undefined;
      isHandedOn = true;
      return this.#through(current, body);
    } catch (error) {
      throw this.#heard(error);
    } finally {
      if (!isHandedOn) this.#leave(current);
    }
  }

  async *list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    const current = await this.#take();
    yield* this.#through(current, current.store.list(prefix, options));
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#use((store) => store.delete(key, signal));
  }

  get rights(): ObjectStore["rights"] {
    return this.#current?.store.rights;
  }

  get role(): string | undefined {
    return this.#current?.store.role;
  }

  get refusesToReplace(): boolean | undefined {
    const store = this.#current?.store;
    return store !== undefined && !("refusesToReplace" in store) ? true : store?.refusesToReplace;
  }

  async *checkUploads(key: string, signal?: AbortSignal): AsyncIterable<CheckedRight> {
    const current = await this.#take();
    yield* this.#through(current, current.store.checkUploads?.(key, signal) ?? []);
  }

  checkAccess(signal?: AbortSignal): Promise<CheckedAccess | undefined> {
    return this.#use(async (store) => await store.checkAccess?.(signal));
  }

  /** Open it now, where there are credentials; without them it is opened when it is used. */
  async prepare(): Promise<void> {
    await this.#renew().catch(() => {});
  }

  async close(): Promise<void> {
    await this.#current?.store.close();
  }

  async #use<T>(work: (store: ObjectStore) => Promise<T>): Promise<T> {
    const current = await this.#take();
    try {
      return await work(current.store);
    } catch (error) {
      throw this.#heard(error);
    } finally {
      this.#leave(current);
    }
  }

  #through<T>(current: Current, items: AsyncIterable<T> | Iterable<T>): AsyncIterable<T> {
    return ownedItems(this.#heardEach(items), () => this.#leave(current));
  }

  async *#heardEach<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<T> {
    try {
      yield* items;
    } catch (error) {
      throw this.#heard(error);
    }
  }

  /** Keys that are refused may have been replaced: the next call looks. */
  #heard(error: unknown): unknown {
    if (error instanceof CdhError && error.code === "CDH_STORE_DENIED") this.#lookedAt = Number.NEGATIVE_INFINITY;
    return error;
  }

  async #take(): Promise<Current> {
    const now = this.#options.clock.monotonic();
    if (this.#current === undefined || now - this.#lookedAt >= FIXED_MS) {
      this.#looking ??= this.#renew().finally(() => (this.#looking = undefined));
      await this.#looking;
    }
    // What came meanwhile is newer still.
    const current = this.#current ?? (await this.#renew());
    current.users += 1;
    return current;
  }

  #leave(current: Current): void {
    current.users -= 1;
    this.#closeIfUnused(current);
  }

  async #renew(): Promise<Current> {
    const { clock, log, look, url } = this.#options;
    this.#lookedAt = clock.monotonic();
    const before = this.#current;
    try {
      const { fingerprint, open } = await look();
      if (before?.fingerprint === fingerprint) return before;
      const current = { store: await open(), fingerprint, users: 0, isRetired: false };
      this.#current = current;
      if (before !== undefined) {
        log.info("the store's credentials were replaced", { store: url });
        before.isRetired = true;
        this.#closeIfUnused(before);
      }
      return current;
    } catch (error) {
      if (before !== undefined) return before;
      throw error;
    }
  }

  #closeIfUnused({ isRetired, users, store }: Current): void {
    if (isRetired && users === 0) void store.close().catch(() => {});
  }
}
