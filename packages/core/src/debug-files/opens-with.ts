import { timerMs } from "../base/clock.ts";
import { CdhError } from "../base/errors.ts";
import type { Manifest, ModuleFacts } from "../bundle/manifest.ts";
import type { ObjectStore } from "../store/store.ts";
import { debugFileKey, storedIdOf } from "./keys.ts";
import { factsOfStored } from "./put.ts";

/** What is kept of one build-id. */
export interface KeptParts {
  /** The program or library itself: a debugger shows functions. */
  executable: boolean;
  /** Its debug info: a debugger shows files, lines and arguments. */
  debuginfo: boolean;
}

/** One file of a crash, and what is kept of it. Both parts absent: nobody was asked, or nobody could tell. */
export interface ModuleParts extends Partial<KeptParts> {
  /** As the crashed process had it. */
  path: string;
  /** Lower-case hexadecimal, of a file without one its SHA-256; absent where it has neither that can be asked for. */
  buildId?: string;
}

/** What a debugger will find of a crash's files. */
export interface OpensWith {
  /** The program first, then what is on the crashed stack, then the others. */
  modules: ModuleParts[];
  /** Modules beyond these, of which nobody was asked. */
  notAsked?: number;
  /** Why some could not be told. */
  trouble?: string;
}

/** Tells what is kept of a build-id. @throws {CdhError} the CDH_STORE family */
export type PartsLookup = (buildId: string, signal: AbortSignal) => Promise<KeptParts>;

/** Modules of a crash that are asked for, and how many at once. */
const MODULES_MAX = 64;
const ASKED_AT_ONCE = 16;
/** A report does not wait longer for it. */
const TIMEOUT_MS = 5000;

/**
 * Ask a store what it keeps of a build-id: two questions without any listing.
 * @param options.base as of `debugFileKey`
 * @throws {CdhError} the CDH_STORE family
 */
export async function keptParts(
  store: ObjectStore,
  buildId: string,
  { base = "", signal }: { base?: string; signal?: AbortSignal } = {},
): Promise<KeptParts> {
  const [executable, debuginfo] = await Promise.all(
    (["executable", "debuginfo"] as const).map((role) => store.head(debugFileKey({ buildId, role }, base), signal)),
  );
  return {
    // Code with debug info is kept once, as debug info.
    executable: executable !== undefined || (debuginfo !== undefined && factsOfStored(debuginfo).hasCode === true),
    debuginfo: debuginfo !== undefined,
  };
}

/** Choose the files of a crash that are asked for: a bounded number, the telling ones first. */
export function modulesToAsk(manifest: Pick<Manifest, "modules" | "threads" | "process">): OpensWith {
  const all = modulesInOrder(manifest);
  const modules = all.slice(0, MODULES_MAX);
  return { modules, ...(all.length > modules.length ? { notAsked: all.length - modules.length } : {}) };
}

/**
 * Tell with what a debugger opens a crash: which of its files have code, debug info, or neither in the store. It always
 * ends, within seconds; what was not answered until then is left open.
 * @param asked as {@link modulesToAsk} chose them
 * @param ask as of one store, or the best of several
 */
export async function tellOpensWith(
  asked: OpensWith,
  ask: PartsLookup,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<OpensWith> {
  const modules = asked.modules.map((module) => ({ ...module }));
  const { timeoutMs = TIMEOUT_MS } = options;
  const late = AbortSignal.timeout(timerMs(timeoutMs));
  const failure = new AbortController();
  const signals = [late, failure.signal, ...(options.signal === undefined ? [] : [options.signal])];
  const signal = AbortSignal.any(signals);
  let trouble: string | undefined;
  const next = modules.values();
  const worker = async (): Promise<void> => {
    for (const module of next) {
      if (module.buildId === undefined) continue;
      if (signal.aborted) return;
      try {
        Object.assign(module, await orAbort(ask(module.buildId, signal), signal));
      } catch (error) {
        options.signal?.throwIfAborted();
        if (late.aborted) trouble ??= `no answer within ${timeoutMs / 1000} s`;
        else if (error instanceof CdhError) trouble ??= error.message;
        else if (!failure.signal.aborted) throw error;
        // Whoever cannot tell of one will not tell of the next.
        failure.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
  return { ...asked, modules, ...(trouble === undefined ? {} : { trouble }) };
}

/** A lookup that others share goes on when one of them leaves. */
async function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Each file once: the program, those on the crashed thread's stack, then the others as they lie in memory. */
function modulesInOrder({
  modules = [],
  threads = [],
  process,
}: Pick<Manifest, "modules" | "threads" | "process">): ModuleParts[] {
  const crashed = threads.find((thread) => thread.crashed === true) ?? threads[0];
  const onStack = (crashed?.stack?.frames ?? []).flatMap(({ module }) => {
    const found = module === undefined ? undefined : modules[module];
    return found === undefined ? [] : [found];
  });
  const program = modules.filter(
    ({ path, buildId }) => path === process.exe || (buildId !== undefined && buildId === process.exeBuildId),
  );
  const byFile = new Map<string, ModuleParts>();
  for (const module of [...program, ...onStack, ...modules]) {
    const { path } = module;
    const id = storedIdOf(module);
    const key = id ?? path;
    if (isFile(path) && !byFile.has(key)) byFile.set(key, { path, ...(id === undefined ? {} : { buildId: id }) });
  }
  return [...byFile.values()];
}

/** The kernel's own object in every process has no file. */
function isFile(path: ModuleFacts["path"]): boolean {
  return path !== "" && !path.startsWith("[") && !path.startsWith("linux-vdso");
}
