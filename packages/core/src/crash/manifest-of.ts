import { toRfc3339 } from "../base/clock.ts";
import { pick, type Given } from "../base/shape.ts";
import { describeModules, describeSignal, describeThreads } from "../bundle/manifest-from-core.ts";
import {
  CORE_FIELDS,
  MANIFEST_FIELDS,
  NODE_FIELDS,
  PROCESS_FIELDS,
  type CoreEntry,
  type Manifest,
  type ProcessFacts,
} from "../bundle/manifest.ts";
import type { CoreFacts } from "../elf/facts.ts";
import { machineName } from "../elf/machine-name.ts";
import { crashKeys } from "../groups/crash-keys.ts";
import { hardwareSigns } from "./hardware-signs.ts";

/** What is known of a crash besides what its core says. Undefined and absent mean unknown. */
export interface KnownCrash {
  crashId: string;
  /** File name: `N.zip`, or that of a core which is a file by itself. */
  bundle: string;
  /** Epoch milliseconds. */
  crashedAtMs: number | undefined;
  composer: Manifest["composer"];
  node: Given<typeof NODE_FIELDS>;
  process: Given<typeof PROCESS_FIELDS>;
  /** The signal as the kernel told it (%s). */
  signal: number | undefined;
  core: KnownCore;
  message?: Manifest["message"] | undefined;
  container?: Manifest["container"] | undefined;
  pod?: Manifest["pod"] | undefined;
  identity?: Manifest["identity"] | undefined;
  restricted?: boolean;
  suppressed?: Manifest["suppressed"] | undefined;
  place?: string | undefined;
  placeUnknown?: string | undefined;
  wholeCore?: Manifest["wholeCore"] | undefined;
  counted?: Manifest["counted"] | undefined;
  /** Where more is known of the threads than the core says. */
  threads?: Manifest["threads"] | undefined;
  problems: Manifest["problems"];
}

/** The core's entry, as its writer knows it. */
export interface KnownCore extends Pick<CoreEntry, "entry" | "compression" | "sizeBytes" | "storedBytes"> {
  sha256?: string | undefined;
  /** Why its writer stopped before the end. */
  truncatedBy?: CoreEntry["truncatedBy"] | undefined;
  /** The entry is in a compression that was not read: whether the core is whole is unknown. */
  isOpaque?: boolean;
}

/**
 * Make the manifest of a crash, whoever wrote its core.
 * @param facts what the core says, when all of it was read: it completes what is not known. Without them whether the core
 *   is whole stays unknown
 */
export function manifestOf(known: KnownCrash, facts?: CoreFacts): Manifest {
  const manifest = pick(MANIFEST_FIELDS, {
    ...known,
    schemaVersion: 1,
    crashedAt: formatTime(known.crashedAtMs),
    node: pick(NODE_FIELDS, known.node),
    process: pick(PROCESS_FIELDS, known.process),
    signal: describeSignal(known.signal, undefined),
    core: pick(CORE_FIELDS, { ...known.core, complete: false }),
    restricted: known.restricted === true ? true : undefined,
  });
  if (facts === undefined) return withKeys(manifest);
  const told = withKeys(withCoreFacts(manifest, facts, known.core.sizeBytes));
  if (told.core.complete || told.core.truncatedBy !== undefined || known.core.isOpaque === true) return told;
  return { ...told, core: pick(CORE_FIELDS, { ...told.core, truncatedBy: "shortRead" }) };
}

function withKeys(manifest: Manifest): Manifest {
  return pick(MANIFEST_FIELDS, { ...manifest, ...crashKeys(manifest) });
}

/**
 * Add what a core says and the manifest does not.
 * @param sizeBytes the core's size; undefined when it is not known, and then neither is whether the core is whole
 */
export function withCoreFacts(manifest: Manifest, facts: CoreFacts, sizeBytes: number | undefined): Manifest {
  const { core, node, signal } = manifest;
  const expectedBytes = sizeBytes === undefined ? undefined : facts.expectedBytes;
  const isWhole =
    core.truncatedBy === undefined && facts.isCore && expectedBytes !== undefined && (sizeBytes ?? 0) >= expectedBytes;
  const threads = manifest.threads ?? describeThreads(facts);
  const signs = hardwareSigns(facts);
  const modules = manifest.modules ?? describeModules(facts);
  return pick(MANIFEST_FIELDS, {
    ...manifest,
    node: pick(NODE_FIELDS, { ...node, architecture: node.architecture ?? architectureOf(facts) }),
    process: processWith(manifest.process, facts),
    signal: describeSignal(signal.number === 0 ? undefined : signal.number, facts),
    signs: manifest.signs ?? (signs.length === 0 ? undefined : signs),
    core: pick(CORE_FIELDS, {
      ...core,
      expectedBytes: expectedBytes ?? core.expectedBytes,
      complete: core.complete || isWhole,
    }),
    threads: threads.length === 0 ? undefined : threads,
    modules: modules.length === 0 ? undefined : modules,
    problems: [...manifest.problems, ...facts.problems],
  });
}

function processWith(known: ProcessFacts, { process, modules }: CoreFacts): ProcessFacts {
  const program = modules.find((module) => module.executable === true);
  const words = process?.psargs.trimEnd() ?? "";
  return pick(PROCESS_FIELDS, {
    ...known,
    pidInNamespace: known.pidInNamespace ?? process?.pid,
    uid: known.uid ?? process?.uid,
    gid: known.gid ?? process?.gid,
    comm: known.comm ?? process?.fname,
    exe: known.exe ?? program?.path,
    exeBuildId: known.exeBuildId ?? program?.buildId,
    cmdline: known.cmdline ?? (words === "" ? undefined : [words]),
  });
}

function architectureOf({ machine }: CoreFacts): string | undefined {
  return machine === undefined ? undefined : machineName(machine);
}

/** The name of a file or of an entry can say any time: one that no calendar has is unknown. */
function formatTime(epochMs: number | undefined): string {
  return epochMs === undefined || Number.isNaN(new Date(epochMs).getTime()) ? "" : toRfc3339(epochMs);
}
