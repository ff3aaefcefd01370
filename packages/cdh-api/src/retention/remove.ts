import { toRfc3339, type Clock } from "@cdh/core/clock";
import { askedKey } from "@cdh/core/debug-files/keys";
import type { Logger } from "@cdh/core/log";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import type { Removal, RemovalReason } from "./decide.ts";
import type { DueFile } from "./file-references.ts";
import { keysOfStem } from "./stored-bundle.ts";

/** What is told of each removal. */
export interface RemovalEvents {
  removed(removal: { reason: RemovalReason | "halfRemoved"; sizeBytes: number }): void;
  removedFile(file: { sizeBytes: number }): void;
}

/** What carrying out a removal needs. */
export interface RemoverOptions {
  store: ObjectStore;
  /** Tell whether what is known of a dump is what its manifest says. @throws {CdhError} CDH_STORE… */
  prove?: ((stem: string) => Promise<boolean>) | undefined;
  /** Where each removal is told before it is done. */
  board?: NoticeBoard | undefined;
  clock: Clock;
  log: Logger;
  events: RemovalEvents;
  /** Most removals in a second. */
  ratePerSecond: number;
}

/** Carry out removals, one after the other and no faster than allowed. */
export class Remover {
  readonly #options: RemoverOptions;
  #nextAt = 0;

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /**
   * Remove one bundle, its manifest first: from then on no listing shows it, and what is left is finished later.
   * @returns false when it was protected meanwhile, when the manifest of an orphan arrived, or when its own manifest says
   *   something else of it than what was decided by
   * @throws {CdhError} CDH_STORE…; the signal's reason
   */
  async remove(removal: Removal, signal: AbortSignal): Promise<boolean> {
    const { store } = this.#options;
    await this.#wait(signal);
    const keys = keysOfStem(removal.stem);
    if ((await store.head(keys.keep, signal)) !== undefined) return false;
    if (removal.reason === "orphan" && (await store.head(keys.manifest, signal)) !== undefined) return false;
    if (removal.reason !== "orphan" && (await this.#options.prove?.(removal.stem)) === false) return false;
    signal.throwIfAborted();
    await this.#options.board?.post({ kind: "removed", stem: removal.stem }, signal);
    signal.throwIfAborted();
    await store.delete(keys.manifest, signal);
    signal.throwIfAborted();
    await store.delete(keys.bundle, signal);
    this.#tell(removal);
    return true;
  }

  /** Remove the bundle that a removal left when it was cut short. @throws {CdhError} CDH_STORE…; the signal's reason */
  async finish(stem: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    await this.#wait(signal);
    const keys = keysOfStem(stem);
    if ((await store.head(keys.manifest, signal)) !== undefined) return;
    if ((await store.head(keys.keep, signal)) !== undefined) return;
    signal.throwIfAborted();
    await store.delete(keys.bundle, signal);
    this.#tell({ stem, sizeBytes, reason: "halfRemoved", why: "its manifest was removed before" });
  }

  /**
   * Remove a file of a program, unless it was replaced since it was listed, or a node relies on it since.
   * @returns false when it was, or one does
   * @throws {CdhError} CDH_STORE…; the signal's reason
   */
  async removeFile(file: DueFile, signal: AbortSignal): Promise<boolean> {
    const { key, buildId, sizeBytes, storedAt, unreferredSince, askedAt } = file;
    const { store, log, events } = this.#options;
    await this.#wait(signal);
    const shown = await store.head(key, signal);
    // One look tells milliseconds where another tells seconds.
    if (shown === undefined || shown.sizeBytes !== sizeBytes || Math.abs(shown.modifiedAt - storedAt) >= 1000)
      return false;
    const asked = await store.head(askedKey(buildId), signal);
    if (asked !== undefined && asked.modifiedAt - (askedAt ?? 0) >= 1000) return false;
    signal.throwIfAborted();
    await store.delete(key, signal);
    const dates = { storedAt: toRfc3339(storedAt), unreferredSince: toRfc3339(unreferredSince) };
    log.info("removed a file of a program", { audit: true, store: store.url, key, sizeBytes, ...dates });
    events.removedFile({ sizeBytes });
    return true;
  }

  #tell(
    removal: Partial<Omit<Removal, "reason">> & {
      stem: string;
      sizeBytes: number;
      reason: RemovalReason | "halfRemoved";
    },
  ): void {
    const { log, events, store } = this.#options;
    const { stem, sizeBytes, reason, why, namespace, at } = removal;
    log.info("removed a bundle", {
      audit: true,
      store: store.url,
      key: keysOfStem(stem).bundle,
      ...(namespace === undefined || namespace === "" ? {} : { namespace }),
      reason,
      why,
      sizeBytes,
      ...(at === undefined ? {} : { storedAt: toRfc3339(at) }),
    });
    events.removed({ reason, sizeBytes });
  }

  async #wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { clock, ratePerSecond } = this.#options;
    const now = clock.monotonic();
    this.#nextAt = Math.max(now, this.#nextAt + 1000 / ratePerSecond);
    // Timers are good for milliseconds: shorter waits add up until one is worth it.
    if (this.#nextAt - now >= 1) await clock.sleep(this.#nextAt - now, signal);
  }
}
