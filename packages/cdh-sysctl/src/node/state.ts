import { writeAtomicallySync } from "@cdh/core/files/write-atomically";
import { tryParseJson } from "@cdh/core/json";
import { readTextIfThere } from "./files.ts";
import { KERNEL_VALUES, type KernelValueName } from "./kernel-values.ts";
import { inHostDir, NAMES, type Mode, type Node } from "./target-node.ts";

/** What `install` remembers in HOST_DIR, to tell later what is ours. */
export interface InstallState {
  schemaVersion: 1;
  /** Version of the cdh-sysctl that installed. */
  version: string;
  installedAt: string;
  mode: Mode;
  /** Hash of HOST_DIR/cdc; absent when the kernel writes plain files. */
  composerSha256?: string;
  /** Where its libraries are, below HOST_DIR. */
  libraryFolder?: string;
  coreDir: string;
  eventDir: string;
  /** Every value of each setting that we have set, or were about to set when we were stopped; the wanted one last. */
  values: Record<KernelValueName, string[]>;
}

/** Read what the last install remembered; undefined when there is nothing usable. */
export function readState(node: Node): InstallState | undefined {
  const text = readTextIfThere(inHostDir(node, NAMES.state));
  if (text === undefined) return undefined;
  const state = tryParseJson(text);
  return isState(state) ? state : undefined;
}

/** Write it, as a whole. */
export function writeState(node: Node, state: InstallState): void {
  writeAtomicallySync(inHostDir(node, NAMES.state), `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
}

function isState(value: unknown): value is InstallState {
  if (typeof value !== "object" || value === null) return false;
  const { schemaVersion, values, mode, coreDir, eventDir } = value as Partial<Record<keyof InstallState, unknown>>;
  if (schemaVersion !== 1 || (mode !== "pipe" && mode !== "file")) return false;
  if (typeof coreDir !== "string" || typeof eventDir !== "string") return false;
  if (typeof values !== "object" || values === null) return false;
  return KERNEL_VALUES.every((name) => Array.isArray((values as Record<string, unknown>)[name]));
}
