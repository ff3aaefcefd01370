import { compact } from "../base/records.ts";
import type { DumpInfo } from "../bundle/dump-info.ts";
import type { Compression, Manifest } from "../bundle/manifest.ts";
import { isRestricted } from "../bundle/restricted.ts";
import type { CrashMessage } from "../crash/crash-message.ts";
import { manifestOf } from "../crash/manifest-of.ts";
import { stackNotRead } from "../crash/stack-not-read.ts";
import type { CoreFacts } from "../elf/facts.ts";
import { decodeExecutablePath } from "../kernel/executable-path.ts";

/** What a salvaged bundle's manifest is made of. */
export interface SalvagedCrash {
  name: string;
  crashId: string;
  crashedAtMs: number;
  dumpInfo: Partial<DumpInfo>;
  facts: CoreFacts;
  message: CrashMessage | undefined;
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
  const { dumpInfo, name } = given;
  return manifestOf(
    {
      ...given,
      bundle: `${name}.zip`,
      composer: { version: given.version },
      node: { nodeName: textOf(dumpInfo.node_hostname) },
      process: {
        comm: textOf(dumpInfo.exe),
        pidInNamespace: numberOf(dumpInfo.real_pid),
        exe: decodeExecutablePath(textOf(dumpInfo.path) ?? "").exe,
        hostname: textOf(dumpInfo.hostname),
      },
      signal: numberOf(dumpInfo.signal),
      identity: { source: "none", verified: false },
      // The composer may have died before anybody knew: only what says "false" is not restricted.
      restricted: dumpInfo.restricted !== "false",
      message: given.message,
      problems: [
        { step: "salvage", code: "CDH_SALVAGED", detail: given.detail },
        ...(given.facts.threads.length === 0 ? [] : [stackNotRead("the composer died")]),
      ],
    },
    given.facts,
  );
}

/**
 * Add what the composer knew of process, pod and node: that came from the living process, and is not in the core. It knew
 * the dump mode too.
 */
export function withNote(salvaged: Manifest, note: Manifest, dumpInfo: Partial<DumpInfo>): Manifest {
  const { restricted: _restricted, ...rest } = salvaged;
  return {
    ...rest,
    node: { ...salvaged.node, ...note.node },
    process: { ...salvaged.process, ...note.process },
    ...compact<Pick<Manifest, "container" | "pod" | "identity" | "restricted" | "suppressed">>({
      container: note.container,
      pod: note.pod,
      identity: note.identity,
      restricted: isRestricted(note) || dumpInfo.restricted === "true" ? true : undefined,
      suppressed: note.suppressed,
    }),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Read a number as dump info has it, which is text. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
