import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { noteLostCore } from "@cdh/core/spool/lost-cores";
import { AnsweringLook } from "./queue/answering-look.ts";
import { scanSpool, type SpoolFile } from "./queue/spool-scan.ts";
import { bytesOf, surveySpool } from "./queue/survey.ts";
import type { Route } from "./rules/routes.ts";
import type { UploadSettings } from "./settings.ts";
import type { UploadEvents, VacuumedFile } from "./tell/events.ts";
import type { SpoolFacts } from "./tell/upload-metrics.ts";
import { giveUpBinaries } from "./tidy/give-up-binaries.ts";
import { keepWithin, vacuum } from "./tidy/vacuum.ts";
import type { Uploader } from "./uploader.ts";

/** A spool on which nothing moves for so long does not answer the metrics; then the last figures serve. */
const REFRESH_MS = 2000;

/** Keep the spool within its limits, and know what lies in it. */
export class Housekeeper {
  readonly #settings: UploadSettings;
  readonly #uploader: Uploader;
  readonly #routes: readonly Route[];
  readonly #events: UploadEvents;
  readonly #log: Logger;
  #facts: SpoolFacts = NOTHING;
  #toldMissing = false;
  readonly #look: AnsweringLook<void>;

  constructor(options: {
    settings: UploadSettings;
    uploader: Uploader;
    routes?: readonly Route[];
    events: UploadEvents;
    clock: Clock;
    log: Logger;
  }) {
    const { clock, settings } = options;
    const { coreDir } = settings;
    const stopSignal = new AbortController().signal;
    this.#look = new AnsweringLook({ clock, coreDir, timeoutMs: REFRESH_MS, stopSignal });
    this.#settings = options.settings;
    this.#uploader = options.uploader;
    this.#routes = options.routes ?? [];
    this.#events = options.events;
    this.#log = options.log;
  }

  /** What lay in the spool at the last {@link refresh}. */
  get facts(): SpoolFacts {
    return this.#facts;
  }

  /**
   * Look what lies in the spool at this moment; what cannot be looked at, or does not answer, keeps its last figures.
   * Never throws.
   */
  async refresh(): Promise<void> {
    await this.#look
      .look((moved) => this.#refresh(moved))
      .catch((error: unknown) =>
        this.#log.debug("cannot look at the spool for the metrics", { reason: reasonOf(error) }),
      );
  }

  async #refresh(moved: () => void): Promise<void> {
    const { coreDir } = this.#settings;
    try {
      const { waiting, quarantined, uploaded, freeBytes } = await surveySpool(
        coreDir,
        (await scanSpool(coreDir, moved)).files,
      );
      this.#facts = {
        bundles: waiting.length,
        bytes: bytesOf(waiting),
        // The newest come first.
        oldestAt: waiting.at(-1)?.modifiedAt,
        quarantined: { bundles: quarantined.length, bytes: bytesOf(quarantined) },
        uploaded: { bundles: uploaded.length, bytes: bytesOf(uploaded) },
        freeBytes,
      };
    } catch (error) {
      this.#log.debug("cannot look at the spool for the metrics", { reason: reasonOf(error) });
    }
  }

  /**
   * Look at what else lies in the spool, and make room where the limits ask for it. Its own trouble is logged, never
   * thrown.
   * @param waiting what the look at the queue found
   */
  async look(waiting: SpoolFile[]): Promise<void> {
    const { coreDir, maxUse, keepFree, quarantineMaxUse, vacuumUnsent } = this.#settings;
    const { queue, lanes } = this.#uploader;
    try {
      const isBusy = (file: { fileName: string }): boolean => queue.get(file.fileName)?.running === true;
      const gone = await this.#keepRulesWithin(isBusy);
      const left = waiting.filter(({ fileName }) => !gone.has(fileName));
      let survey = await surveySpool(coreDir, left);
      const isShort = keepFree !== undefined && survey.freeBytes !== undefined && survey.freeBytes < keepFree;
      if (isShort && (await giveUpBinaries(coreDir))) {
        this.#log.info("files of programs removed to make room");
        survey = await surveySpool(coreDir, left);
      }
      const troubled = new Set(
        lanes.flatMap(({ name, rule, circuit }) => (rule !== undefined && circuit.isOpen ? [name] : [])),
      );
      const { removed, missingBytes } = await vacuum(
        survey,
        { maxUse, keepFree, quarantineMaxUse, unsent: vacuumUnsent },
        isBusy,
        ({ fileName }) => troubled.has(queue.get(fileName)?.lane ?? ""),
      );
      for (const file of removed) {
        if (file.kind !== "uploaded") this.#gaveUp(file);
        else
          this.#log.info("removed to make room", { bundle: file.fileName, sizeBytes: file.sizeBytes, kind: file.kind });
        this.#events.vacuumed?.(file);
      }
      if (missingBytes > 0 && !this.#toldMissing) {
        this.#log.warn("the spool is over its limits and nothing more may be removed", { missingBytes, vacuumUnsent });
      }
      this.#toldMissing = missingBytes > 0;
    } catch (error) {
      this.#log.error("cannot keep the spool in order", { reason: reasonOf(error) });
    }
  }

  /** What waits for a rule's store must leave room for the others. @returns names of what was given up */
  async #keepRulesWithin(isBusy: (file: SpoolFile) => boolean): Promise<Set<string>> {
    const gone = new Set<string>();
    for (const { rule } of this.#routes) {
      if (rule.maxWaiting === undefined) continue;
      const files = Array.from(this.#uploader.queue.items(rule.name), (item) => item.file);
      for (const file of await keepWithin(rule.maxWaiting, files, isBusy)) {
        gone.add(file.fileName);
        this.#gaveUp(file, { rule: rule.name, maxWaiting: rule.maxWaiting });
        this.#events.vacuumed?.(file);
      }
    }
    return gone;
  }

  #gaveUp({ fileName, sizeBytes, kind, facts }: VacuumedFile, why: Record<string, unknown> = {}): void {
    const fields = { bundle: fileName, sizeBytes, kind, ...why };
    // It stands for no other core any more.
    if (facts !== undefined) void noteLostCore(this.#settings.coreDir, facts.manifest.crashId).catch(() => {});
    this.#log.error("gave up a bundle to make room", { ...fields, crashId: facts?.manifest.crashId });
  }
}

const NOTHING: SpoolFacts = {
  bundles: 0,
  bytes: 0,
  oldestAt: undefined,
  quarantined: { bundles: 0, bytes: 0 },
  uploaded: { bundles: 0, bytes: 0 },
  freeBytes: undefined,
};
