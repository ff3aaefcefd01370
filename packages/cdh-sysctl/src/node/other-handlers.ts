import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isHandlerPattern, parseCorePattern } from "@cdh/core/kernel/pattern";
import { onHost, type Roots } from "@cdh/core/roots";
import { existsOnHost, readHostText, resolveHostPath } from "./host-path.ts";
import { SYSCTL_NAMES, type KernelValueName } from "./kernel-values.ts";

/** Somebody else on the node who sets what we set, now or at the next boot. */
export interface OtherHandler {
  /** `systemd-coredump`, `apport`, or the file. */
  name: string;
  /** Path on the node that says so. */
  path: string;
  /** What it does there. */
  effect: string;
}

/** Directories that sysctl.d(5) reads. The same file name in an earlier one hides that in a later one. */
const SYSCTL_DIRECTORIES = [
  "/etc/sysctl.d",
  "/run/sysctl.d",
  "/usr/local/lib/sysctl.d",
  "/usr/lib/sysctl.d",
  "/lib/sysctl.d",
];

/**
 * The unit by which systemd-coredump takes the kernel's line since v262, as a server on a socket, again after each restart.
 * There is no sysctl.d file then. @see systemd-coredump-register.service(8)
 */
const REGISTER_UNIT = "systemd-coredump-register.service";
const REGISTER_PATHS = [
  `/etc/systemd/system/${REGISTER_UNIT}`,
  `/usr/lib/systemd/system/${REGISTER_UNIT}`,
  `/lib/systemd/system/${REGISTER_UNIT}`,
];
const REGISTERED_PATTERN = "@@/run/systemd/coredumpd/kernel";

/** Files that show another handler. @see systemd-coredump(8) */
const UNITS = [
  ...REGISTER_PATHS.map((path) => ({
    name: "systemd-coredump",
    path,
    effect: `sets ${SYSCTL_NAMES.core_pattern} = ${REGISTERED_PATTERN} at boot and whenever systemd-coredump restarts`,
  })),
  {
    name: "systemd-coredump",
    path: "/usr/lib/systemd/systemd-coredump",
    effect: "handles crashes when its sysctl.d file is applied",
  },
  {
    name: "systemd-coredump",
    path: "/lib/systemd/systemd-coredump",
    effect: "handles crashes when its sysctl.d file is applied",
  },
  {
    name: "apport",
    path: "/usr/lib/systemd/system/apport.service",
    effect: "sets its own core pattern when it starts",
  },
  { name: "apport", path: "/lib/systemd/system/apport.service", effect: "sets its own core pattern when it starts" },
  { name: "apport", path: "/etc/init.d/apport", effect: "sets its own core pattern when it starts" },
  {
    name: "abrt",
    path: "/usr/lib/systemd/system/abrt-ccpp.service",
    effect: "sets its own core pattern when it starts",
  },
];

/** A value that the node sets at boot. */
export interface BootValue {
  value: string;
  /** The file that says so, on the node. */
  path: string;
}

/**
 * Find what the node sets a value to at boot: a unit that registers a socket comes last, before it the last of the sysctl.d
 * files. Ours never counts.
 */
export function findBootValue(roots: Roots, name: KernelValueName): BootValue | undefined {
  const unit = name === "core_pattern" ? registerUnit(roots) : undefined;
  if (unit !== undefined) return { value: REGISTERED_PATTERN, path: unit };
  return findBootValues(roots, name).at(-1);
}

/** Find the unit that registers systemd-coredump's socket; a masked one, a link to /dev/null or an empty file, does nothing. */
function registerUnit(roots: Roots): string | undefined {
  const path = REGISTER_PATHS.find((candidate) => existsOnHost(roots, candidate) || isMasked(roots, candidate));
  return path === undefined || isMasked(roots, path) ? undefined : path;
}

function isMasked(roots: Roots, path: string): boolean {
  try {
    return readlinkSync(onHost(roots, path)) === "/dev/null";
  } catch {
    return existsOnHost(roots, path) && readHostText(roots, path)?.trim() === "";
  }
}

/** Find every sysctl.d line that sets a value, in the order in which they are applied. */
export function findBootValues(roots: Roots, name: KernelValueName): BootValue[] {
  const found: BootValue[] = [];
  for (const path of sysctlFiles(roots)) {
    for (const line of (readHostText(roots, path) ?? "").split("\n")) {
      const match = /^\s*-?\s*([\w./]+)\s*=\s*(.*?)\s*$/.exec(line);
      if (match === null || (match[1] ?? "").replaceAll("/", ".") !== SYSCTL_NAMES[name]) continue;
      const value = match[2] ?? "";
      if (name === "core_pattern" ? !isHandlerPattern(value) : /^\d+$/.test(value)) found.push({ value, path });
    }
  }
  return found;
}

/** List everybody else who sets the values, now (by the current pattern) or later (by files on the node). */
export function findOtherHandlers(
  roots: Roots,
  currentPattern: string,
  isOurs = isHandlerPattern(currentPattern),
): OtherHandler[] {
  const handlers: OtherHandler[] = [];
  const seen = new Set<string>();
  if (!isOurs) {
    const pattern = parseCorePattern(currentPattern);
    if (pattern.kind !== "file") {
      const path = pattern.kind === "pipe" ? pattern.executable : pattern.path;
      handlers.push({ name: handlerName(path), path, effect: "gets the crashes now" });
    }
  }
  for (const unit of UNITS) {
    if (seen.has(unit.name) || !existsOnHost(roots, unit.path)) continue;
    if (REGISTER_PATHS.includes(unit.path) && registerUnit(roots) === undefined) continue;
    seen.add(unit.name);
    handlers.push(unit);
  }
  for (const name of Object.keys(SYSCTL_NAMES) as KernelValueName[]) {
    for (const boot of findBootValues(roots, name)) {
      handlers.push({
        name: handlerName(boot.path),
        path: boot.path,
        effect: `sets ${SYSCTL_NAMES[name]} = ${boot.value} at boot`,
      });
    }
  }
  return handlers;
}

function handlerName(path: string): string {
  if (path.endsWith("/cdc")) return "another core dump handler";
  if (/apport/.test(path)) return "apport";
  if (/coredump/.test(path)) return "systemd-coredump";
  if (/abrt/.test(path)) return "abrt";
  return path.split("/").at(-1) ?? path;
}

function sysctlFiles(roots: Roots): string[] {
  const byName = new Map<string, string>();
  for (const directory of SYSCTL_DIRECTORIES) {
    for (const name of listNames(onHost(roots, resolveHostPath(roots, directory).path))) {
      if (name.endsWith(".conf") && !byName.has(name)) byName.set(name, join(directory, name));
    }
  }
  const files = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  return [...files, "/etc/sysctl.conf"];
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
