import type { Clock } from "@cdh/core/clock";
import { listDebugFiles } from "@cdh/core/debug-files/list";
import { factsOfStored } from "@cdh/core/debug-files/put";
import type { ObjectStore } from "@cdh/core/store/store";
import type { NamedFile, NamedFiles } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { badRequest } from "../http/api-error.ts";
import { sendPacked } from "../http/send.ts";
import { matchesGlob } from "./glob.ts";

/** How long a look may take, and how long what it found is good. */
const LOOK_MS = 20_000;
const GOOD_MS = 30_000;
const ASKED_AT_ONCE = 16;
/** Names that are remembered, and results that are sent. */
const NAMES_MAX = 200_000;
const RESULTS_MAX = 10_000;
const VALUE_MAX = 512;
/** Of a pattern without its folder: each name is compared with it. */
const PATTERN_MAX = 128;
/** Comparing takes so long at most, and the thread for so long at once: others' requests are on it. */
const MATCH_MS = 10_000;
const SLICE_MS = 20;

/** Know the names of the files of programs: each is asked for once. */
export class FileNames {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #stopSignal: AbortSignal;
  #known = new Map<string, NamedFile | undefined>();
  #look: { until: number; files: Promise<NamedFiles> } | undefined;

  constructor(options: { store: ObjectStore; clock: Clock; stopSignal: AbortSignal }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#stopSignal = options.stopSignal;
  }

  /** Give the names as they were seconds ago; a look that takes too long gives what it found. @throws {CdhError} CDH_STORE… */
  async get(): Promise<NamedFiles> {
    const now = this.#clock.monotonic();
    if (this.#look === undefined || this.#look.until <= now) {
      const look = { until: Number.POSITIVE_INFINITY, files: this.#find() };
      this.#look = look;
      look.files.then(
        () => (look.until = this.#clock.monotonic() + GOOD_MS),
        () => (look.until = 0),
      );
    }
    return await this.#look.files;
  }

  async #find(): Promise<NamedFiles> {
    const signal = this.#stopSignal;
    const until = this.#clock.monotonic() + LOOK_MS;
    const isLate = (): boolean => this.#clock.monotonic() > until;
    const before = this.#known;
    const known = new Map<string, NamedFile | undefined>();
    const files = listDebugFiles(this.#store, { signal })[Symbol.asyncIterator]();
    let isComplete = true;
    const worker = async (): Promise<void> => {
      for (let next = await files.next(); next.done !== true; next = await files.next()) {
        const { id, info } = next.value;
        if (isLate() || known.size >= NAMES_MAX) {
          isComplete = false;
          return;
        }
        const key = `${info.key} ${info.sizeBytes} ${info.modifiedAt}`;
        if (before.has(key)) known.set(key, before.get(key));
        else {
          const shown = await this.#store.head(info.key, signal);
          if (shown === undefined) continue;
          const { name, hasCode } = factsOfStored(shown);
          known.set(key, name === undefined ? undefined : { ...id, name, hasCode: hasCode === true });
        }
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
    // What a short look did not come to is not forgotten.
    this.#known = isComplete ? known : new Map([...known, ...before].slice(0, NAMES_MAX));
    return { files: [...known.values()].filter((file) => file !== undefined), isComplete };
  }
}

/**
 * Find files by name, as debuginfod's clients of elfutils 0.191 and later ask. In which folder a program lay is not kept: of a path or a
 * pattern its last part counts.
 * @see debuginfod(8), WEBAPI, `/metadata`
 * @throws {ApiError} 400
 */
export async function sendFileNames({ app, exchange }: Call): Promise<void> {
  const key = exchange.query.get("key");
  const value = exchange.query.get("value") ?? "";
  if (key !== "glob" && key !== "file") throw badRequest("key is glob or file");
  if (value === "" || value.length > VALUE_MAX) throw badRequest(`value has 1 to ${VALUE_MAX} characters`);
  const wanted = value.slice(value.lastIndexOf("/") + 1);
  if (wanted.length > PATTERN_MAX) throw badRequest(`a name has at most ${PATTERN_MAX} characters`);
  const isMeant = ({ name }: NamedFile): boolean => (key === "file" ? name === wanted : matchesGlob(name, wanted));
  const { clock } = app;
  const { found, isComplete } = await app.gates.cores.run(exchange.share, async () => {
    const named = await app.fileNames.get();
    const chosen = await chooseFiles(named.files, isMeant, { clock, signal: exchange.signal });
    return { found: chosen.found, isComplete: named.isComplete && chosen.isComplete };
  });
  const results = found.flatMap(({ buildId, role, name, hasCode }) => {
    const types = role === "dwp" ? [] : role === "debuginfo" && hasCode ? ["executable", "debuginfo"] : [role];
    return types.map((type) => ({ type, buildid: buildId, file: name }));
  });
  const answer = { results: results.slice(0, RESULTS_MAX), complete: isComplete && results.length <= RESULTS_MAX };
  await sendPacked(exchange, "application/json", `${JSON.stringify(answer)}\n`);
}

/**
 * Choose files, and let others work in between. @returns what was found within the time
 * @throws the signal's reason
 */
export async function chooseFiles(
  files: readonly NamedFile[],
  isMeant: (file: NamedFile) => boolean,
  { clock, signal, timeoutMs = MATCH_MS }: { clock: Clock; signal: AbortSignal; timeoutMs?: number },
): Promise<{ found: NamedFile[]; isComplete: boolean }> {
  const found: NamedFile[] = [];
  const until = clock.monotonic() + timeoutMs;
  let sliceUntil = clock.monotonic() + SLICE_MS;
  for (const file of files) {
    const now = clock.monotonic();
    if (now > until) return { found, isComplete: false };
    if (now > sliceUntil) {
      await clock.sleep(1, signal);
      sliceUntil = clock.monotonic() + SLICE_MS;
    }
    if (isMeant(file)) found.push(file);
  }
  return { found, isComplete: true };
}
