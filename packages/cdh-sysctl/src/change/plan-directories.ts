import { randomBytes } from "node:crypto";
import { chmodSync, readdirSync, renameSync, type Stats } from "node:fs";
import { join } from "node:path";
import { onHost } from "@cdh/core/roots";
import {
  DIRECTORY_MODE,
  PLAIN_DIRECTORY,
  PLAIN_DIRECTORY_MODE,
  QUARANTINE_DIRECTORY,
  STATE_DIRECTORY,
  UPLOADED_DIRECTORY,
} from "@cdh/core/spool/layout";
import { isTrustedUser } from "@cdh/core/spool/spool-owner";
import { lstatIfThere, makeDirectory } from "../node/files.ts";
import type { Node } from "../node/target-node.ts";
import type { Desired } from "./desired.ts";
import type { Step } from "./steps.ts";

/** Others must not write into CORE_DIR, so it need not be sticky either. */
const SHARED = 0o1022;
/** Whoever crashes passes through CORE_DIR in file mode. */
const PASSABLE = 0o011;

/** Plan the directories of an install. CORE_DIR is closed first: from then on nobody else puts anything into it. */
export function planDirectories(node: Node, desired: Desired): Step[] {
  const isFileMode = desired.mode === "file";
  const coreDir = onHost(node.roots, node.coreDir);
  const wanted: [id: string, title: string, path: string, mode: (found: Stats | undefined) => number | undefined][] = [
    ["make-host-dir", "make HOST_DIR", node.hostDir, (found) => (found === undefined ? 0o755 : undefined)],
    [
      "make-core-dir",
      "make CORE_DIR",
      node.coreDir,
      (found) => {
        if (found === undefined || isFresh(coreDir)) return isFileMode ? DIRECTORY_MODE | PASSABLE : DIRECTORY_MODE;
        const mode = found.mode & 0o7777;
        // In file mode older releases let everybody write here, and others whatever their administrators chose.
        const closed = (mode & 0o022) === 0 ? mode : mode & ~SHARED;
        return isFileMode ? closed | PASSABLE : closed === mode ? mode : closed & ~PASSABLE;
      },
    ],
  ];
  const steps = [
    ...wanted.map(([id, title, path, mode]) => planDirectory(node, { id, title, path, mode })),
    ...planWorkDirectories(node, isFileMode),
  ];
  if (desired.composerEnv["CORE_EVENTS"]?.toLowerCase() === "true") {
    const mode = (found: Stats | undefined): number | undefined => (found === undefined ? 0o755 : undefined);
    steps.push(planDirectory(node, { id: "make-event-dir", title: "make EVENT_DIRECTORY", path: node.eventDir, mode }));
  }
  return steps;
}

/** Plan a directory with the mode that it shall have; undefined leaves the mode as it is. */
function planDirectory(
  node: Node,
  {
    id,
    title,
    path,
    mode,
  }: { id: string; title: string; path: string; mode: (found: Stats | undefined) => number | undefined },
): Step {
  const local = onHost(node.roots, path);
  const lookUp = (): { found: Stats | undefined; wanted: number | undefined } => {
    const found = lstatIfThere(local);
    return { found, wanted: mode(found) };
  };
  const { found, wanted } = lookUp();
  return {
    id,
    title,
    to: path,
    changes: found === undefined || (wanted !== undefined && wanted !== (found.mode & 0o7777)),
    run: () => {
      const now = lookUp();
      if (now.wanted === undefined) return;
      makeDirectory(local, now.wanted);
      // The mode that mkdir sets is cut by the umask.
      if (now.found === undefined || (now.found.mode & 0o7777) !== now.wanted) chmodSync(local, now.wanted);
    },
  };
}

/**
 * Plan the directories inside of CORE_DIR. In file mode they are made now, because later somebody else might. What others
 * put in their place, while CORE_DIR was open to them, is moved aside.
 */
function planWorkDirectories(node: Node, isFileMode: boolean): Step[] {
  const directory = onHost(node.roots, node.coreDir);
  const made = new Map<string, number>(
    isFileMode
      ? [
          [STATE_DIRECTORY, DIRECTORY_MODE],
          [QUARANTINE_DIRECTORY, DIRECTORY_MODE],
          [PLAIN_DIRECTORY, PLAIN_DIRECTORY_MODE],
        ]
      : [],
  );
  const faultOf = (name: string): "foreign" | "missing" | "mode" | undefined => {
    const found = lstatIfThere(join(directory, name));
    if (found === undefined) return made.has(name) ? "missing" : undefined;
    if (!found.isDirectory() || !isTrustedUser(found.uid)) return "foreign";
    return made.has(name) && (found.mode & 0o7777) !== made.get(name) ? "mode" : undefined;
  };
  const names = [STATE_DIRECTORY, QUARANTINE_DIRECTORY, UPLOADED_DIRECTORY, PLAIN_DIRECTORY];
  const wrong = names.filter((name) => faultOf(name) !== undefined);
  if (!isFileMode && wrong.length === 0) return [];
  const foreign = wrong.filter((name) => faultOf(name) === "foreign");
  const aside = foreign.length === 0 ? "" : `; ${foreign.join(", ")} there is not root's and is moved aside`;
  return [
    {
      id: "make-work-dirs",
      title: `make the directories in CORE_DIR${aside}`,
      to: node.coreDir,
      changes: wrong.length > 0,
      run: () => {
        for (const name of names) {
          const path = join(directory, name);
          if (faultOf(name) === "foreign")
            renameSync(path, join(directory, `.not-ours.${name}.${randomBytes(4).toString("hex")}`));
          const mode = made.get(name);
          if (mode === undefined || faultOf(name) === undefined) continue;
          makeDirectory(path, mode);
          chmodSync(path, mode);
        }
      },
    },
  ];
}

/** Tell whether a directory is as the kubelet makes one for a hostPath volume, before any container starts. */
function isFresh(directory: string): boolean {
  const info = lstatIfThere(directory);
  return info?.isDirectory() === true && (info.mode & 0o7777) === 0o755 && readdirSync(directory).length === 0;
}
