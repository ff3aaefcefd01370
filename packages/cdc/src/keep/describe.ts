import type { CoreSummary } from "@cdh/core/bundle/core-pipeline";
import { DUMPABLE_AS_ROOT_ONLY, formatDumpInfo } from "@cdh/core/bundle/dump-info";
import type { Compression, Manifest, Problem, TruncatedBy } from "@cdh/core/bundle/manifest";
import { describeThreads, type ThreadExtras } from "@cdh/core/bundle/manifest-from-core";
import type { SmallEntry } from "@cdh/core/bundle/writer";
import { toRfc3339 } from "@cdh/core/clock";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { Identity } from "@cdh/core/container/identify";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import { manifestOf, type KnownCrash } from "@cdh/core/crash/manifest-of";
import type { CoreFacts } from "@cdh/core/elf/facts";
import type { Crash } from "@cdh/core/kernel/crash";
import type { Work } from "../request.ts";
import type { NodeFacts } from "../who/node-facts.ts";

/** All that a manifest is made of. */
export interface CrashDescription {
  crashId: string;
  name: string;
  version: string;
  crash: Crash;
  crashedAtMs: number;
  node: NodeFacts;
  clusterName: string | undefined;
  process: ProcessSnapshot;
  identity: Identity;
  enrichment: Enrichment | undefined;
  facts: CoreFacts;
  core: { entry: string; compression: Compression; summary: CoreSummary; truncatedBy: TruncatedBy | undefined };
  suppressed: { count: number; since: string } | undefined;
  place?: string | undefined;
  /** Why there is none, where it was asked for. */
  placeUnknown?: string | undefined;
  /** What stands for the core, where it was not taken. */
  wholeCore?: Manifest["wholeCore"];
  problems: Problem[];
  /** What the program said of its own end. */
  message?: Manifest["message"];
  /** What is known of the threads beside the core. */
  threads?: ThreadExtras | undefined;
  cost: Omit<Manifest["composer"], "version">;
}

/** What is known of a crash as soon as its bundle is open. */
export function describeStart(
  {
    crash,
    crashId,
    crashedAtMs,
    version,
    settings,
  }: Pick<Work, "crash" | "crashId" | "crashedAtMs" | "version" | "settings">,
  { name, node }: Pick<CrashDescription, "name" | "node">,
): Pick<CrashDescription, "crash" | "crashId" | "crashedAtMs" | "version" | "name" | "node" | "clusterName"> {
  return { crash, crashId, crashedAtMs, version, name, node, clusterName: settings.clusterName };
}

/** Make the manifest. */
export function describeCrash(given: CrashDescription): Manifest {
  const { crash, identity, core, name } = given;
  const { summary } = core;
  const threads = describeThreads(given.facts, given.threads);
  return manifestOf(
    {
      ...given,
      bundle: `${name}.zip`,
      composer: { version: given.version, ...given.cost },
      node: { ...given.node, clusterName: given.clusterName },
      process: describeProcess(given),
      signal: crash.signal,
      core: { ...core, ...summary },
      container: given.enrichment?.container ?? identity.container,
      pod: given.enrichment?.pod ?? identity.pod,
      identity: { source: identity.source, verified: identity.verified },
      restricted: crash.dumpMode === DUMPABLE_AS_ROOT_ONLY,
      threads: threads.length === 0 ? undefined : threads,
    },
    // The core's own problems stand among the given ones, in their order.
    { ...given.facts, problems: [] },
  );
}

/** Make IBM's dump info: all strings, the core's entry as it is named in the bundle, the pid as the process itself saw it, the path with `!` as the kernel wrote it. */
export function describeForIbm(given: {
  crashId: string;
  name: string;
  /** Name of the core's entry. */
  coreEntry: string;
  crash: Crash;
  nodeName: string;
}): SmallEntry {
  const { crash, name } = given;
  const text = formatDumpInfo({
    uuid: given.crashId,
    dump_file: given.coreEntry,
    timestamp: crash.raw.t ?? "",
    hostname: crash.hostname ?? "",
    exe: crash.comm ?? "",
    real_pid: crash.raw.p ?? "",
    signal: crash.raw.s ?? "",
    node_hostname: given.nodeName,
    path: crash.pathname ?? "",
    restricted: crash.dumpMode === undefined ? undefined : String(crash.dumpMode === DUMPABLE_AS_ROOT_ONLY),
  });
  return { name: `${name}-dump-info.json`, bytes: Buffer.from(text) };
}

function describeProcess({ crash, process: crashed }: CrashDescription): KnownCrash["process"] {
  return {
    pid: crash.pid,
    pidInNamespace: crash.pidInNamespace,
    tid: crash.tid,
    uid: crash.uid ?? crashed.uid,
    gid: crash.gid ?? crashed.gid,
    comm: crash.comm,
    exe: crashed.exe ?? crash.exe,
    cmdline: crashed.cmdline,
    hostname: crash.hostname,
    startedAt: crashed.startedAtMs === undefined ? undefined : toRfc3339(crashed.startedAtMs),
    rlimitCoreBytes: typeof crash.rlimitCoreBytes === "number" ? crash.rlimitCoreBytes : undefined,
    dumpMode: crash.dumpMode,
  };
}
