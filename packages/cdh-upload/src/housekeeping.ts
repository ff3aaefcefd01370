import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { UploadEvents } from "./events.ts";
import type { UploadSettings } from "./settings.ts";
import type { SpoolFile } from "./spool-scan.ts";
import { bytesOf, surveySpool } from "./survey.ts";
import type { SpoolFacts } from "./upload-metrics.ts";
import type { Uploader } from "./uploader.ts";
import { vacuum } from "./vacuum.ts";

/** Keep the spool within its limits, and know what lies in it. */
export class Housekeeper {
  readonly #settings: UploadSettings;
  readonly #uploader: Uploader;
  readonly #events: UploadEvents;
  readonly #log: Logger;
  #facts: SpoolFacts = NOTHING;
  #toldMissing = false;

  constructor(options: { settings: UploadSettings; uploader: Uploader; events: UploadEvents; log: Logger }) {
    this.#settings = options.settings;
    this.#uploader = options.uploader;
    this.#events = options.events;
    this.#log = options.log;
  }

  /** What lay in the spool at the last look. */
  get facts(): SpoolFacts {
    return this.#facts;
  }

  /**
   * Look at what else lies in the spool, and make room where the limits ask for it. Its own trouble is logged, never
   * thrown.
   * @param waiting what the look at the queue found
   */
  async look(waiting: SpoolFile[]): Promise<void> {
    const { coreDir, maxUse, keepFree, quarantineMaxUse, vacuumUnsent } = this.#settings;
    try {
      const survey = await surveySpool(coreDir, waiting);
      const isBusy = (file: { fileName: string }): boolean => this.#uploader.queue.get(file.fileName)?.running === true;
      const { removed, missingBytes } = await vacuum(
        survey,
        { maxUse, keepFree, quarantineMaxUse, unsent: vacuumUnsent },
        isBusy,
      );
      for (const file of removed) {
        const fields = { bundle: file.fileName, sizeBytes: file.sizeBytes, kind: file.kind };
        if (file.kind === "uploaded") this.#log.info("removed to make room", fields);
        else this.#log.error("gave up a bundle to make room", { ...fields, crashId: file.facts?.manifest.crashId });
        this.#events.vacuumed?.(file);
      }
      if (missingBytes > 0 && !this.#toldMissing) {
        this.#log.warn("the spool is over its limits and nothing more may be removed", { missingBytes, vacuumUnsent });
      }
      this.#toldMissing = missingBytes > 0;
      const gone = new Set(removed.map((file) => file.fileName));
      const left = survey.waiting.filter((file) => !gone.has(file.fileName));
      this.#facts = {
        bundles: left.length,
        bytes: bytesOf(left),
        oldestAt: left.length === 0 ? undefined : Math.min(...left.map((file) => file.modifiedAt)),
        quarantined: { bundles: survey.quarantined.length, bytes: bytesOf(survey.quarantined) },
        uploaded: { bundles: survey.uploaded.length, bytes: bytesOf(survey.uploaded) },
        freeBytes: survey.freeBytes,
      };
    } catch (error) {
      this.#log.error("cannot keep the spool in order", { reason: reasonOf(error) });
    }
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
