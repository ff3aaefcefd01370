import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "@cdh/core/errors";
import { writeAtomicallySync } from "@cdh/core/files/write-atomically";
import { parseJson } from "@cdh/core/json";
import { isOurPattern } from "@cdh/core/kernel/pattern";
import {
  backupName,
  judgeSavedValue,
  KERNEL_VALUES,
  kernelValueFile,
  SYSCTL_NAMES,
  type KernelValueName,
} from "@cdh/core/kernel/values";
import { LEASE_EXPIRED_NAME } from "@cdh/core/kernel/watch-lease";
import { FILE_MODE } from "@cdh/core/spool/layout";

/**
 * How long a lease must have been seen expired before it counts: a node that was asleep, or whose clock has jumped, has a
 * watch that renews it within a minute.
 */
const CONFIRM_MS = 10 * 60_000;

/** What a look at an expired lease led to. */
export type GiveBack =
  | { kind: "noted" | "waiting" | "not-ours" }
  | { kind: "given-back"; values: string[]; left: string[] };

/**
 * Give the kernel the node's own values back, when the lease was found expired before, at least ten minutes ago. The first
 * composer that finds it so only notes that. The files stay: they hold cores that nobody has taken.
 * @param exeDir HOST_DIR, where cdh-sysctl keeps the saved values
 * @param proc the node's /proc
 * @throws what the file system throws
 */
export function giveBack(exeDir: string, proc: string): GiveBack {
  const pattern = readValue(proc, "core_pattern");
  if (!isOurPattern(pattern, exeDir)) return { kind: "not-ours" };
  const boot = readFileSync(join(proc, "sys/kernel/random/boot_id"), "utf8").trim();
  const uptimeMs = Number(readFileSync(join(proc, "uptime"), "utf8").split(" ")[0]) * 1000;
  const mark = join(exeDir, LEASE_EXPIRED_NAME);
  const seen = readMark(mark);
  if (seen?.boot !== boot || !(seen.uptimeMs <= uptimeMs)) {
    const text = `${JSON.stringify({ boot, uptimeMs })}\n`;
    // Several composers may come to this at the same time.
    writeAtomicallySync(mark, text, { mode: FILE_MODE, partial: `${mark}.${process.pid}.partial`, flush: "nothing" });
    return { kind: "noted" };
  }
  if (uptimeMs - seen.uptimeMs < CONFIRM_MS) return { kind: "waiting" };
  const ours = recordedValues(exeDir);
  const values: string[] = [];
  const left: string[] = [];
  // As a restore does: the opposite order of the install, and numbers only while they are ours.
  for (const name of KERNEL_VALUES.toReversed()) {
    const saved = savedValue(exeDir, name);
    const isOurs = name === "core_pattern" || ours[name]?.includes(readValue(proc, name)) === true;
    if (saved === undefined || !isOurs) left.push(SYSCTL_NAMES[name]);
    else {
      writeFileSync(kernelValueFile(proc, name), `${saved}\n`);
      values.push(`${SYSCTL_NAMES[name]} = ${saved}`);
    }
  }
  return { kind: "given-back", values, left };
}

function readValue(proc: string, name: KernelValueName): string {
  return readFileSync(kernelValueFile(proc, name), "utf8").replace(/\n$/, "");
}

function savedValue(exeDir: string, name: KernelValueName): string | undefined {
  const saved = judgeSavedValue(name, readIfThere(join(exeDir, backupName(name))) ?? "");
  // Nobody's core is to be lost to a backup that is gone: the kernel's own default at least writes a file.
  if (saved.state === "valid") return saved.value;
  return name === "core_pattern" ? "core" : undefined;
}

/** Values that cdh-sysctl has recorded as its own. */
function recordedValues(exeDir: string): Partial<Record<KernelValueName, unknown[]>> {
  const state = tryParse(readIfThere(join(exeDir, ".cdh-sysctl.json")));
  const values = (state as { values?: unknown } | undefined)?.values;
  if (typeof values !== "object" || values === null) return {};
  return Object.fromEntries(Object.entries(values).filter(([, list]) => Array.isArray(list)));
}

function readMark(path: string): { boot: string; uptimeMs: number } | undefined {
  const mark = tryParse(readIfThere(path)) as { boot?: unknown; uptimeMs?: unknown } | undefined;
  if (typeof mark?.boot !== "string" || typeof mark.uptimeMs !== "number") return undefined;
  return { boot: mark.boot, uptimeMs: mark.uptimeMs };
}

function tryParse(text: string | undefined): unknown {
  try {
    const value = text === undefined ? undefined : parseJson(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
