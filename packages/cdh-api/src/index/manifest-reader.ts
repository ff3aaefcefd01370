import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { Semaphore } from "@cdh/core/store/semaphore";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { PackedRecord } from "./packed-record.ts";
import { isKeptByPod, namespaceOf, nameOfStem, type PlacementRules, tryNameOf } from "./placement.ts";
import { recordOf } from "./record-of.ts";
import type { RecordPool } from "./record-pool.ts";
import { isGarbage, readStoredHead, stampOf } from "./store-reader.ts";

/** Manifests that are read at the same time. */
const READS_MAX = 16;
/** Larger ones are read one after the other: read as objects they take several times their size. */
const LARGE_BYTES = 256 * 1024;

/** Read manifests of the store and make records of them. */
export class ManifestReader {
  readonly #options: { store: ObjectStore; rules: PlacementRules; log: Logger; pool: RecordPool };
  readonly #reads = new Semaphore(READS_MAX);
  readonly #largeReads = new Semaphore(1);

  constructor(options: { store: ObjectStore; rules: PlacementRules; log: Logger; pool: RecordPool }) {
    this.#options = options;
  }

  /**
   * Read a manifest; undefined when it is gone, or is none, which is noted.
   * @throws {CdhError} the CDH_STORE family
   */
  async read(
    stem: string,
    object: ObjectInfo,
    keep: boolean,
    { garbage, signal }: { garbage: Map<string, string>; signal: AbortSignal | undefined },
  ): Promise<PackedRecord | undefined> {
    const { store, rules, log, pool } = this.#options;
    const manifestStamp = stampOf(object);
    try {
      const manifest = await readStoredHead(store, stem, signal);
      if (manifest === undefined) return undefined;
      const storedAt = Math.round(object.modifiedAt);
      const facts = { stem, manifestStamp, bundleBytes: undefined, storedAt, keep };
      const place = {
        name: tryNameOf(manifest) ?? nameOfStem(stem),
        namespace: namespaceOf(manifest, rules),
        revision: 0,
      };
      return recordOf(manifest, facts, { ...place, keepByPod: isKeptByPod(manifest) }, pool);
    } catch (error) {
      if (!isGarbage(error)) throw error;
      garbage.set(stem, manifestStamp);
      log.warn("a manifest is garbage and is left out", { stem, reason: reasonOf(error) });
      return undefined;
    }
  }

  /** Begin to read many beside what asks for them. */
  begin(): Readings {
    return new Readings((sizeBytes) => (sizeBytes > LARGE_BYTES ? this.#largeReads : this.#reads));
  }
}

/** Readings that go on beside a listing. */
class Readings {
  readonly #slotsFor: (sizeBytes: number) => Semaphore;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(slotsFor: (sizeBytes: number) => Semaphore) {
    this.#slotsFor = slotsFor;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Begin one; waits while many run, so that a listing does not run far ahead of what is read. */
  async add(work: () => Promise<void>, sizeBytes: number): Promise<void> {
    const task = this.#slotsFor(sizeBytes)
      .run(async () => {
        if (this.#failure === undefined) await work();
      })
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
    while (this.#running.size >= 4 * READS_MAX) await Promise.race(this.#running);
  }

  /** Wait for all of them. @throws what the first that failed threw */
  async end(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
