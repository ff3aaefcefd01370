import { existsSync } from "node:fs";
import { CdhError } from "@cdh/core/errors";
import { run, type RunResult } from "@cdh/core/exec";
import { onHost, type Roots } from "@cdh/core/roots";

/** Where distributions have it. */
const CHROOT_PATHS = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot"];

const SELF_TEST_TIMEOUT_MS = 30_000;

/**
 * Start the composer's self-test on the node's own root, as the kernel would start it: this is how a mount without
 * execute permission, a security policy or a missing loader shows itself before the kernel depends on it.
 * @param executable path on the node
 * @returns milliseconds that it took
 * @throws {CdhError} CDH_ENVIRONMENT when it does not run there, with the likely reason
 */
export async function selfTest(roots: Roots, executable: string): Promise<number> {
  const result = await runOnNode(roots, executable, ["--self-test"], SELF_TEST_TIMEOUT_MS);
  if (!result.failed) return result.durationMs;
  throw new CdhError(
    "CDH_ENVIRONMENT",
    `cannot run ${executable} on this node: ${explain(roots, executable, result)}`,
    {
      hint: "choose a HOST_DIR from which the node can execute programs",
      details: { exitCode: result.exitCode, signal: result.signal, stderr: result.stderr.slice(0, 2000) },
    },
  );
}

/** Ask a composer for its version; undefined when it does not run or says nothing. */
export async function composerVersion(roots: Roots, executable: string): Promise<string | undefined> {
  const result = await runOnNode(roots, executable, ["--version"], SELF_TEST_TIMEOUT_MS);
  return result.failed ? undefined : result.stdout.trim().split("\n")[0];
}

/** Run a program on the node's root with nothing in its environment, as the kernel starts its helpers. */
async function runOnNode(
  roots: Roots,
  executable: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<RunResult> {
  const [file, words] = onNodeRoot(roots, executable, args);
  return run(file, words, { env: {}, cwd: "/", timeoutMs });
}

/**
 * Name the program and its words that start another on the node's root.
 * @throws {CdhError} CDH_ENVIRONMENT where that takes chroot(1), and there is none
 */
export function onNodeRoot(roots: Roots, executable: string, args: readonly string[]): [string, readonly string[]] {
  if (roots.host === "/") return [executable, args];
  const chroot = CHROOT_PATHS.find((path) => existsSync(path));
  if (chroot === undefined) {
    throw new CdhError(
      "CDH_ENVIRONMENT",
      `cannot run ${executable} on the node's root ${roots.host}: there is no chroot(1) here`,
      {
        hint: "the image needs coreutils or busybox",
      },
    );
  }
  return [chroot, [roots.host, executable, ...args]];
}

function explain(roots: Roots, executable: string, result: RunResult): string {
  // Two lines: the first may only say that something went wrong.
  const said = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(0, 2).join("; ");
  if (result.timedOut) return `no answer after ${SELF_TEST_TIMEOUT_MS / 1000} s`;
  if (result.signal !== undefined) return `killed by ${result.signal}`;
  // chroot(1) reports with 126 and 127 what the kernel told it.
  const denied = result.notStarted === "EACCES" || (roots.host !== "/" && result.exitCode === 126);
  const missing = result.notStarted === "ENOENT" || (roots.host !== "/" && result.exitCode === 127);
  if (denied) return `permission denied (a mount with noexec, SELinux or AppArmor)${said === "" ? "" : `: ${said}`}`;
  if (missing) {
    const what = existsSync(onHost(roots, executable)) ? "its loader or a library is missing there" : "no such file";
    return said === "" ? what : `${what}: ${said}`;
  }
  if (result.notStarted === "ENOEXEC") return "not an executable for this machine (another architecture?)";
  if (result.notStarted !== undefined) return result.notStarted;
  return `exit status ${result.exitCode}${said === "" ? "" : `: ${said}`}`;
}
