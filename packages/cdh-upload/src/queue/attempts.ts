import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";

/** What is remembered about a bundle that was itself the trouble. */
export interface AttemptRecord {
  attempts: number;
  code: string;
  reason: string;
  /** Epoch milliseconds. */
  lastAt: number;
  /** Size and time of the file then: a file that changed since begins anew. */
  fingerprint: string;
}

/** Remember attempts with bundles across restarts, in one small file. */
export class Attempts {
  readonly #path: string;
  readonly #records: Map<string, AttemptRecord>;

  private constructor(path: string, records: Map<string, AttemptRecord>) {
    this.#path = path;
    this.#records = records;
  }

  /** Nothing is remembered yet. */
  static empty(path: string): Attempts {
    return new Attempts(path, new Map());
  }

  /** Read the file; a damaged one counts as empty. */
  static async open(path: string): Promise<Attempts> {
    const records = new Map<string, AttemptRecord>();
    const state = await readStateFile(path);
    if (
      typeof state === "object" &&
      state !== null &&
      "bundles" in state &&
      typeof state.bundles === "object" &&
      state.bundles !== null
    ) {
      for (const [name, record] of Object.entries(state.bundles)) if (isRecord(record)) records.set(name, record);
    }
    return new Attempts(path, records);
  }

  /** What is known about the file `name` as it is now. */
  get(name: string, fingerprint: string): AttemptRecord | undefined {
    const record = this.#records.get(name);
    return record?.fingerprint === fingerprint ? record : undefined;
  }

  /** Count a failed attempt. @returns the record */
  async count(
    name: string,
    fingerprint: string,
    failure: { code: string; reason: string; at: number },
  ): Promise<AttemptRecord> {
    const attempts = (this.get(name, fingerprint)?.attempts ?? 0) + 1;
    const record = { attempts, code: failure.code, reason: failure.reason, lastAt: failure.at, fingerprint };
    this.#records.set(name, record);
    await this.#save();
    return record;
  }

  /** Forget a bundle that is done with. */
  async forget(name: string): Promise<void> {
    if (this.#records.delete(name)) await this.#save();
  }

  /** Forget every bundle that is no longer there. */
  async keepOnly(names: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#records.keys()].filter((name) => !names.has(name));
    for (const name of gone) this.#records.delete(name);
    if (gone.length > 0) await this.#save();
  }

  async #save(): Promise<void> {
    await writeStateFile(this.#path, { bundles: Object.fromEntries(this.#records) });
  }
}

function isRecord(value: unknown): value is AttemptRecord {
  if (typeof value !== "object" || value === null) return false;
  const { attempts, fingerprint, code, reason, lastAt } = value as Record<string, unknown>;
  return (
    typeof attempts === "number" &&
    typeof fingerprint === "string" &&
    typeof code === "string" &&
    typeof reason === "string" &&
    typeof lastAt === "number"
  );
}
