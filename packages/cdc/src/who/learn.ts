import { once } from "@cdh/core/async/once";
import type { Problem } from "@cdh/core/bundle/manifest";
import { timerMs } from "@cdh/core/clock";
import type { Collected } from "@cdh/core/container/collected";
import type { Crictl } from "@cdh/core/container/crictl";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { HeldModules } from "@cdh/core/container/held-modules";
import type { Identity } from "@cdh/core/container/identify";
import type { LogSearch } from "@cdh/core/container/log-search";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { Work } from "../request.ts";
import type { CrashStacks } from "../stack/crash-stacks.ts";
import type { HeldMemory } from "./held-memory.ts";

/** From so much of /proc on, what reading it left behind is worth the milliseconds that giving it back takes. */
const LARGE_PROC_BYTES = 2 * 1024 * 1024;

/** What learning needs. */
type Given = Pick<Work, "roots" | "crash" | "settings" | "exeDir" | "native" | "stacks" | "ends">;

/** A pod's labels; undefined when they can't be learnt or nobody asks for them. */
export interface PodLabels {
  labels: Record<string, string> | undefined;
  problems: Problem[];
}

/** Everything that is learnt beside the drain. Each promise resolves within METADATA_TIMEOUT and none rejects. */
export interface Learning {
  /** What /proc said; afterwards the process may go. */
  process: Promise<ProcessSnapshot>;
  /** Its memory, open as long as it is held; in words why not. */
  memory: Promise<HeldMemory | { doubt: string }>;
  /** Which pod and container. */
  identity: Promise<Identity>;
  /** Whether it was a container's process, known before the runtime is asked anything. */
  place(): Promise<Identity["place"]>;
  /** The pod's labels, for the selector. */
  labels(): Promise<PodLabels>;
  /**
   * Which modules the process has, for a core that does not list them. Ends within METADATA_TIMEOUT, or with the signal;
   * never rejects; undefined when the process is gone or doubtful.
   */
  modules(stop: AbortSignal): Promise<HeldModules | undefined>;
  /** IBM's entries: crictl's answers and the logs. Begun with the first call, because a crash that isn't kept needs none. */
  enrich(): Promise<Enrichment>;
}

/** Start to learn about the crashed process and its pod. */
export function learn(given: Given): Learning {
  const signal = AbortSignal.timeout(timerMs(given.settings.metadataTimeoutMs));
  const crictl = once(() => findCrictl(given, signal));
  const memory = Promise.withResolvers<HeldMemory | { doubt: string }>();
  const lookingAtProcess = lookAtProcess(given, signal, memory.resolve);
  const fromFiles = lookingAtProcess.then((crashed) => identifyFromFiles(given, crashed, signal));
  const identity = fromFiles.then((found) => completeByCrictl(given, found, crictl));
  return {
    process: lookingAtProcess,
    memory: memory.promise,
    identity,
    place: async () => (await fromFiles).known.place,
    labels: async () => findLabels(given, await identity, crictl, signal),
    // One after the other: both may be megabytes, and neither leaves anything behind.
    modules: async (stop) => {
      await lookingAtProcess;
      return readModules(given, stop);
    },
    enrich: once(async () => {
      const { enrich } = await import("@cdh/core/container/enrich");
      const known = await identity;
      const asked = known.place === "host" ? {} : asOption(await crictl());
      const search = known.place === "host" ? undefined : await lastWords(given);
      return enrich({
        roots: given.roots,
        identity: known,
        logLines: given.settings.logLength,
        search,
        signal,
        ...asked,
      });
    }),
  };
}

/** Tell whether memory is to be read from the crashed process. */
export function readsMemory({ take }: Pick<Given["settings"], "take">): boolean {
  return take === "memory" || take === "check";
}

// The readers are loaded when they are needed: the first read of the core must not wait for them.

async function lookAtProcess(
  { roots, crash, settings, native, stacks, ends }: Given,
  signal: AbortSignal,
  onMemory: (memory: HeldMemory | { doubt: string }) => void,
): Promise<ProcessSnapshot> {
  const { snapshotProcess } = await import("@cdh/core/container/process");
  const includeEnviron = settings.includeProcInfo === "environ";
  const tidy = (files: ProcessSnapshot["files"]): void => {
    if (files.reduce((sum, { bytes }) => sum + bytes.length, 0) > LARGE_PROC_BYTES) native.collectGarbage();
  };
  let memory: HeldMemory | { doubt: string } | undefined;
  const takes = readsMemory(settings);
  const hold: CrashStacks["hold"] = async (source, files) => {
    tidy(files);
    if (takes) {
      const { holdMemory } = await import("./held-memory.ts");
      memory = holdMemory(source, files);
      if (!("doubt" in memory)) ends.defer(memory.close);
    }
    await stacks?.hold(source, files);
  };
  const whileHeld = stacks === undefined && !takes ? {} : { whileHeld: hold };
  const found = await completeAfterExit(await snapshotProcess({ roots, crash, includeEnviron, signal, ...whileHeld }), {
    roots,
    crash,
    native,
  });
  onMemory(found.state === "verified" && memory !== undefined ? memory : { doubt: "it is not known whose it is" });
  tidy(found.files);
  return found;
}

/** Programs write their last words shortly before the kernel sees them end; it tells whole seconds. */
const WORDS_BEFORE_MS = 60_000;
const WORDS_AFTER_MS = 2_000;

async function lastWords({ settings, crash }: Given): Promise<LogSearch | undefined> {
  if (!settings.message || crash.timestamp === undefined) return undefined;
  const { messageSearch, FOLLOWING_LINES } = await import("@cdh/core/crash/crash-message");
  const search = messageSearch(crash.signal);
  const crashedAtMs = crash.timestamp * 1000;
  return search === undefined
    ? undefined
    : {
        ...search,
        following: FOLLOWING_LINES,
        fromMs: crashedAtMs - WORDS_BEFORE_MS,
        untilMs: crashedAtMs + WORDS_AFTER_MS,
      };
}

async function readModules(
  { roots, crash, settings, native }: Given,
  stop: AbortSignal,
): Promise<HeldModules | undefined> {
  const { readHeldModules } = await import("@cdh/core/container/held-modules");
  const until = AbortSignal.any([stop, AbortSignal.timeout(timerMs(settings.metadataTimeoutMs))]);
  const held = await readHeldModules({ roots, crash, signal: until });
  if ((held?.mapsBytes ?? 0) > LARGE_PROC_BYTES) native.collectGarbage();
  return held;
}

/** What the node's own files say, and how to look once more. */
interface FoundInFiles {
  known: Identity;
  lookAgain: (by: { crictl?: Crictl }) => Promise<Identity>;
}

async function identifyFromFiles(
  { roots, crash }: Given,
  crashed: ProcessSnapshot,
  signal: AbortSignal,
): Promise<FoundInFiles> {
  const { identify } = await import("@cdh/core/container/identify");
  const options = { roots, crash, process: crashed, signal };
  return { known: await identify(options), lookAgain: (by) => identify({ ...options, ...by }) };
}

/** The node's own files tell nearly always; crictl is looked for only where they don't. */
async function completeByCrictl(
  { settings }: Given,
  { known, lookAgain }: FoundInFiles,
  crictl: () => Promise<Collected<Crictl>>,
): Promise<Identity> {
  if (known.source !== "none" || known.place === "host") return known;
  const asked = await crictl();
  const found = await lookAgain(asOption(asked));
  // Only here somebody misses it: the rest of what crictl tells is no problem where there is none.
  if (!("missing" in asked) || settings.ignoreCrio) return found;
  return { ...found, problems: [{ step: "crictl", code: asked.missing, detail: asked.detail }, ...found.problems] };
}

async function findLabels(
  { settings }: Given,
  known: Identity,
  crictl: () => Promise<Collected<Crictl>>,
  signal: AbortSignal,
): Promise<PodLabels> {
  if (settings.podSelectorLabel === "" || known.place === "host") return { labels: undefined, problems: [] };
  if (known.pod?.labels !== undefined) return { labels: known.pod.labels, problems: [] };
  const asked = await crictl();
  const found = "missing" in asked ? asked : await readLabels(known, asked.value, signal);
  if ("value" in found) return { labels: found.value, problems: [] };
  const detail = `kept without looking at POD_SELECTOR_LABEL: the pod's labels are not known (${found.detail})`;
  return { labels: undefined, problems: [{ step: "selector", code: "CDH_SELECTOR_UNKNOWN", detail }] };
}

async function readLabels(
  identity: Identity,
  crictl: Crictl,
  signal: AbortSignal,
): Promise<Collected<Record<string, string>>> {
  const { readPodLabels } = await import("@cdh/core/container/enrich");
  return readPodLabels({ identity, crictl, signal });
}

async function findCrictl({ settings, roots, exeDir }: Given, signal: AbortSignal): Promise<Collected<Crictl>> {
  if (settings.ignoreCrio) return { missing: "CDH_CRICTL_NOT_FOUND", detail: "IGNORE_CRIO: crictl is not asked" };
  if (signal.aborted) return { missing: "CDH_DEADLINE", detail: "no time was left to look for crictl" };
  const { findCrictl: find } = await import("@cdh/core/container/crictl");
  return find({ roots, exeDir, useConfig: settings.useCrioConf, timeoutMs: settings.metadataTimeoutMs });
}

/** Where the process had ended before it was looked at, its pod is still to be known. */
async function completeAfterExit(
  snapshot: ProcessSnapshot,
  { roots, crash, native }: Pick<Given, "roots" | "crash" | "native">,
): Promise<ProcessSnapshot> {
  if (snapshot.state === "verified") return snapshot;
  const { cgroupAfterExit } = await import("./exit-record.ts");
  const cgroup = await cgroupAfterExit(roots, crash.pidfd, native).catch(() => undefined);
  if (cgroup === undefined) return snapshot;
  const detail = "the process had ended before it was looked at; its cgroup is known by the kernel's pidfd";
  return { state: "verified", files: [], cgroup, problems: [{ step: "process", code: "CDH_PROCESS_ENDED", detail }] };
}

function asOption(found: Collected<Crictl>): { crictl?: Crictl } {
  return "value" in found ? { crictl: found.value } : {};
}
