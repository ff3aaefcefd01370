import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { UploadEvents } from "./events.ts";
import type { UploadSettings } from "./settings.ts";
import { scanSpool, type SpoolFile } from "./spool-scan.ts";
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

  /** What lay in the spool at the last {@link refresh}. */
  get facts(): SpoolFacts {
    return this.#facts;
  }

  /** Look what lies in the spool at this moment; what cannot be looked at keeps its last figures. Never throws. */
  async refresh(): Promise<void> {
    const { coreDir } = this.#settings;
    try {
      const { waiting, quarantined, uploaded, freeBytes } = await surveySpool(
        coreDir,
        (await scanSpool(coreDir)).files,
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
