import { accessSync, constants } from "node:fs";
import { CdhError, reasonOf, type ErrorCode } from "@cdh/core/errors";
import { measureSpaceSync } from "@cdh/core/files/free-space";
import { onHost } from "@cdh/core/roots";
import { formatBytes } from "@cdh/core/units";
import { mountOptionsOf, resolveHostPath } from "../node/host-path.ts";
import { KERNEL_VALUES, kernelValuePath, SYSCTL_NAMES } from "../node/kernel-values.ts";
import type { Node } from "../node/target-node.ts";
import type { ComposerSource } from "./composer-source.ts";

/** Why something cannot be done, and what to do about it. */
export interface Problem {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/** Room on top of what is copied, for backups, `.env` and the log. */
const HEADROOM_BYTES = 4 * 1024 * 1024;

/** Run a check and turn the error that it throws into a problem. */
export function attempt<T>(problems: Problem[], check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof CdhError)) throw error;
    problems.push({
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
    return undefined;
  }
}

/** Check what every look at a node's files needs: Linux and root. */
export function checkRoot(): Problem[] {
  if (process.platform !== "linux") {
    return [{ code: "CDH_NOT_LINUX", message: `this is ${process.platform}, not Linux` }];
  }
  if (process.geteuid?.() === 0) return [];
  return [
    { code: "CDH_NOT_ROOT", message: "not root", hint: "run it as root, in a privileged container on Kubernetes" },
  ];
}

/** Check what every change of the node needs: Linux, root, and kernel settings that can be written. */
export function checkPrivileges(node: Pick<Node, "roots">): Problem[] {
  const problems = checkRoot();
  if (process.platform !== "linux") return problems;
  const refused = KERNEL_VALUES.flatMap((name) => {
    try {
      accessSync(kernelValuePath(node.roots, name), constants.R_OK | constants.W_OK);
      return [];
    } catch (error) {
      return [`${SYSCTL_NAMES[name]} (${reasonOf(error)})`];
    }
  });
  if (refused.length > 0) {
    problems.push({
      code: "CDH_PROC_READ_ONLY",
      message: `cannot write ${refused.join(", ")} below ${node.roots.proc}/sys`,
      hint: "a container needs to be privileged; --proc-root names a writable /proc",
    });
  }
  return problems;
}

/**
 * Check a directory of ours, and resolve the symbolic links on the way to it.
 * @param executes programs are started from there
 * @param who `private`: only root may write there; `sticky`: everybody may add files, and nobody may touch another's
 */
export function checkDirectory(
  node: Pick<Node, "roots">,
  setting: string,
  path: string,
  who: "private" | "sticky",
  executes = false,
): { path: string; problems: Problem[] } {
  const { path: resolved, existing, problems } = resolveHostPath(node.roots, path, who === "sticky");
  const found: Problem[] = problems.map((problem) => ({
    code: "CDH_ENVIRONMENT",
    message: `cannot use ${setting} ${path}: ${problem}`,
    hint: "the kernel runs the handler as root: only root may be able to change what lies there",
  }));
  const options = mountOptionsOf(node.roots, onHost(node.roots, existing));
  if (options.includes("ro")) {
    found.push({ code: "CDH_ENVIRONMENT", message: `cannot use ${setting} ${path}: it is on a read-only mount` });
  }
  if (executes && options.includes("noexec")) {
    found.push({
      code: "CDH_ENVIRONMENT",
      message: `cannot use HOST_DIR ${path}: it is on a mount that forbids execution (noexec)`,
      hint: "choose a HOST_DIR from which the node can execute programs, or a PROFILE that knows one",
    });
  }
  return { path: resolved, problems: found };
}

/** Check that what has to be copied fits beside what is there: both versions exist for a moment. */
export function checkSpace(node: Node, composer: ComposerSource): Problem[] {
  const { existing } = resolveHostPath(node.roots, node.hostDir);
  const needed =
    composer.sizeBytes + composer.libraries.reduce((sum, library) => sum + library.sizeBytes, 0) + HEADROOM_BYTES;
  const { availableBytes } = measureSpaceSync(onHost(node.roots, existing));
  if (availableBytes >= needed) return [];
  return [
    {
      code: "CDH_DISK",
      message: `cannot copy the composer to ${node.hostDir}: ${formatBytes(needed)} are needed, ${formatBytes(availableBytes)} are free`,
      hint: "free some space on the node, or choose another HOST_DIR",
    },
  ];
}

/** Make the one error that stands for all problems; its exit status is that of the first. */
export function problemsError(what: string, problems: readonly Problem[]): CdhError {
  const [first] = problems;
  const single = problems.length === 1 && first !== undefined;
  return new CdhError(
    first?.code ?? "CDH_ENVIRONMENT",
    single ? `${what}: ${first.message}` : `${what}: ${problems.length} problems, nothing was changed`,
    { ...(single && first.hint !== undefined ? { hint: first.hint } : {}), details: { problems } },
  );
}
