import type { DumpInfo } from "../bundle/dump-info.ts";
import type { Compression, Manifest } from "../bundle/manifest.ts";
import { describeModules, describeSignal, describeThreads } from "../bundle/manifest-from-core.ts";
import { toRfc3339 } from "../clock.ts";
import type { CoreFacts } from "../elf/facts.ts";

/** What a salvaged bundle's manifest is made of. */
export interface SalvagedCrash {
  name: string;
  crashId: string;
  crashedAtMs: number;
  dumpInfo: Partial<DumpInfo>;
  facts: CoreFacts;
  core: {
    entry: string;
    compression: Compression;
    sizeBytes: number;
    storedBytes: number;
    sha256: string;
  };
  /** Who salvages: program and version. */
  version: string;
  detail: string;
}

/** Make the manifest of a bundle whose composer died: from its dump info and from the core's own notes. */
export function describeSalvaged(given: SalvagedCrash): Manifest {
  const { dumpInfo, facts, core } = given;
  const threads = describeThreads(facts);
  const modules = describeModules(facts);
  const psargs = facts.process?.psargs.trimEnd() ?? "";
  const exeBuildId = facts.modules.find((module) => module.executable === true)?.buildId;
  return {
    schemaVersion: 1,
    crashId: given.crashId,
    bundle: `${given.name}.zip`,
    crashedAt: toRfc3339(given.crashedAtMs),
    composer: { version: given.version },
    node: known({ nodeName: textOf(dumpInfo.node_hostname), architecture: facts.machine?.name }),
    process: known({
      comm: textOf(dumpInfo.exe) ?? facts.process?.fname,
      pidInNamespace: numberOf(dumpInfo.real_pid) ?? facts.process?.pid,
      exe: textOf(dumpInfo.path)?.replaceAll("!", "/"),
      exeBuildId,
      cmdline: psargs === "" ? undefined : [psargs],
      hostname: textOf(dumpInfo.hostname),
      uid: facts.process?.uid,
      gid: facts.process?.gid,
    }),
    signal: describeSignal(numberOf(dumpInfo.signal), facts),
    core: {
      ...core,
      ...(facts.expectedBytes === undefined ? {} : { expectedBytes: facts.expectedBytes }),
      complete: facts.complete,
      ...(facts.complete ? {} : { truncatedBy: "shortRead" as const }),
    },
    identity: { source: "none", verified: false },
    ...(threads.length === 0 ? {} : { threads }),
    ...(modules.length === 0 ? {} : { modules }),
    problems: [{ step: "salvage", code: "CDH_SALVAGED", detail: given.detail }, ...facts.problems],
  };
}

/** Add what the composer knew of process, pod and node: that came from the living process, and is not in the core. */
export function withNote(salvaged: Manifest, note: Manifest): Manifest {
  return {
    ...salvaged,
    node: { ...salvaged.node, ...note.node },
    process: { ...salvaged.process, ...note.process },
    ...known({
      container: note.container,
      pod: note.pod,
      identity: note.identity,
      restricted: note.restricted,
      suppressed: note.suppressed,
    }),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

function known<T extends object>(value: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, found]) => found !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
