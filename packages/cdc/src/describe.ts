import type { CoreSummary } from "@cdh/core/bundle/core-pipeline";
import { formatDumpInfo } from "@cdh/core/bundle/dump-info";
import type { Compression, Manifest, Problem, ProcessFacts, TruncatedBy } from "@cdh/core/bundle/manifest";
import { describeModules, describeSignal, describeThreads } from "@cdh/core/bundle/manifest-from-core";
import type { SmallEntry } from "@cdh/core/bundle/writer";
import { toRfc3339 } from "@cdh/core/clock";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { Identity } from "@cdh/core/container/identify";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { CoreFacts } from "@cdh/core/elf/facts";
import type { Crash } from "@cdh/core/kernel/crash";
import type { NodeFacts } from "./node-facts.ts";

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
  problems: Problem[];
  cost: { durationMs: number; drainMs: number; maxRssBytes: number };
}

/** Dump mode 2: the process was not its user's to read. @see core(5) %d, proc(5) suid_dumpable */
const DUMPABLE_AS_ROOT_ONLY = 2;

/** Make the manifest. */
export function describeCrash(given: CrashDescription): Manifest {
  const { crash, facts, identity, core } = given;
  const container = given.enrichment?.container ?? identity.container;
  const pod = given.enrichment?.pod ?? identity.pod;
  const threads = describeThreads(facts);
  const modules = describeModules(facts);
  const { summary } = core;
  const complete = core.truncatedBy === undefined && facts.complete;
  return {
    schemaVersion: 1,
    crashId: given.crashId,
    bundle: `${given.name}.zip`,
    crashedAt: toRfc3339(given.crashedAtMs),
    composer: { version: given.version, ...given.cost },
    node: { ...given.node, ...(given.clusterName === undefined ? {} : { clusterName: given.clusterName }) },
    process: describeProcess(given),
    signal: describeSignal(crash.signal, facts),
    core: {
      entry: core.entry,
      compression: core.compression,
      sizeBytes: summary.sizeBytes,
      storedBytes: summary.storedBytes,
      ...(summary.sha256 === undefined ? {} : { sha256: summary.sha256 }),
      ...(facts.expectedBytes === undefined ? {} : { expectedBytes: facts.expectedBytes }),
      complete,
      ...(complete ? {} : { truncatedBy: core.truncatedBy ?? "shortRead" }),
    },
    ...(container === undefined ? {} : { container }),
    ...(pod === undefined ? {} : { pod }),
    identity: { source: identity.source, verified: identity.verified },
    ...(crash.dumpMode === DUMPABLE_AS_ROOT_ONLY ? { restricted: true } : {}),
    ...(threads.length === 0 ? {} : { threads }),
    ...(modules.length === 0 ? {} : { modules }),
    ...(given.suppressed === undefined ? {} : { suppressed: given.suppressed }),
    problems: given.problems,
  };
}

/** Make IBM's dump info: all strings, the pid as the process itself saw it, the path with `!` as the kernel wrote it. */
export function describeForIbm(given: { crashId: string; name: string; crash: Crash; nodeName: string }): SmallEntry {
  const { crash, name } = given;
  const text = formatDumpInfo({
    uuid: given.crashId,
    dump_file: `${name}.core`,
    timestamp: crash.raw.t ?? "",
    hostname: crash.hostname ?? "",
    exe: crash.comm ?? "",
    real_pid: crash.raw.p ?? "",
    signal: crash.raw.s ?? "",
    node_hostname: given.nodeName,
    path: crash.pathname ?? "",
  });
  return { name: `${name}-dump-info.json`, bytes: Buffer.from(text) };
}

function describeProcess({ crash, process, facts }: CrashDescription): ProcessFacts {
  const exe = process.exe ?? crash.exe;
  const exeBuildId = facts.modules.find((module) => module.executable === true)?.buildId;
  const uid = crash.uid ?? process.uid;
  const gid = crash.gid ?? process.gid;
  const cmdline = process.cmdline ?? (facts.process === undefined ? undefined : [facts.process.psargs.trimEnd()]);
  return {
    ...(crash.pid === undefined ? {} : { pid: crash.pid }),
    ...(crash.pidInNamespace === undefined ? {} : { pidInNamespace: crash.pidInNamespace }),
    ...(crash.tid === undefined ? {} : { tid: crash.tid }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(crash.comm === undefined ? {} : { comm: crash.comm }),
    ...(exe === undefined ? {} : { exe }),
    ...(exeBuildId === undefined ? {} : { exeBuildId }),
    ...(cmdline === undefined ? {} : { cmdline }),
    ...(crash.hostname === undefined ? {} : { hostname: crash.hostname }),
    ...(process.startedAtMs === undefined ? {} : { startedAt: toRfc3339(process.startedAtMs) }),
    ...(typeof crash.rlimitCoreBytes === "number" ? { rlimitCoreBytes: crash.rlimitCoreBytes } : {}),
    ...(crash.dumpMode === undefined ? {} : { dumpMode: crash.dumpMode }),
  };
}
