import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "./dump-index.ts";
import type { DumpRecord } from "./dump-record.ts";
import { ManifestReader } from "./manifest-reader.ts";
import { isMadeName, nameOfStem, type PlacementRules } from "./placement.ts";
import { fill } from "./record-pool.ts";
import { RECALLED } from "./row-block.ts";
import { MANIFEST_SUFFIX } from "./store-reader.ts";

/** What rights and retention depend on. */
const BELIEVED = [
  "namespace",
  "podNamespace",
  "podName",
  "podUid",
  "identityVerified",
  "restricted",
  "clusterName",
  "keepByPod",
] as const satisfies readonly (keyof DumpRecord)[];

/** What proving needs. */
export interface ProveOptions {
  store: ObjectStore;
  index: DumpIndex;
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
}

/**
 * Hold a dump that a segment of the index told of against its manifest, once, before anybody works with it: whoever may write
 * segments could say that it is of another namespace. What does not agree is put right, and told.
 */
export class Prover {
  readonly #options: ProveOptions;
  readonly #reader: ManifestReader;

  constructor(options: ProveOptions) {
    this.#options = options;
    this.#reader = new ManifestReader({ ...options, pool: options.index.pool });
  }

  /**
   * @returns whether the index says of the dump what its manifest says; false too where that is gone, or is none
   * @throws {CdhError} the CDH_STORE family
   */
  async prove(stem: string, signal?: AbortSignal): Promise<boolean> {
    const { index, log, clock } = this.#options;
    const { pool } = index;
    const id = index.idOfStem(stem);
    if (id < 0) return false;
    if ((pool.flags(id) & RECALLED) === 0) return true;
    const known = pool.at(id);
    const { manifestStamp, storedAt, keep, bundleBytes, namespace, name } = known;
    // Its stamp is the listing's: what was written since is read by the next look.
    const object = { key: `${stem}${MANIFEST_SUFFIX}`, sizeBytes: 0, modifiedAt: storedAt, etag: manifestStamp };
    const record = await this.#reader.read(stem, object, false, { garbage: new Map(), signal });
    if (record === undefined) return false;
    const nowId = index.idOfStem(stem);
    // It changed meanwhile: who asks looks it up again.
    if (nowId < 0 || pool.at(nowId).manifestStamp !== manifestStamp) return false;
    // A name that another dump has is made of the key.
    const isNamed = name === record.name || (isMadeName(name) && name === nameOfStem(stem));
    if (isNamed && BELIEVED.every((field) => known[field] === record[field])) {
      pool.setFlags(nowId, 0, RECALLED);
      return true;
    }
    log.error(
      "a segment of the index says of a dump what its manifest does not: it is put right; who may write there?",
      {
        stem,
        said: namespace,
        namespace: record.namespace,
      },
    );
    const isTaken = (index.byName(record.name)?.stem ?? stem) !== stem;
    const named = isTaken ? pool.changed(record, { name: nameOfStem(stem) }) : record;
    fill(named, { bundleBytes, keep: keep || record.keepByPod, revision: index.log.next(clock.now()) });
    index.put(named);
    return false;
  }
}
