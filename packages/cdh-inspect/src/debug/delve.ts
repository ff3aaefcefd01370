import { CdhError } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";
import type { Prepared } from "./prepare.ts";

const PROBE_TIMEOUT_MS = 10_000;

/** Find delve, Go's debugger; undefined when it is not on PATH. */
export async function findDelve(): Promise<"dlv" | undefined> {
  return (await run("dlv", ["version"], { timeoutMs: PROBE_TIMEOUT_MS })).failed ? undefined : "dlv";
}

/**
 * Arguments that open a core in delve. Of what a core names it opens nothing: the program and the core are all that it reads.
 * @throws {CdhError} CDH_NOT_FOUND without the program, of which delve has everything
 */
export function delveArguments({ exePath, corePath }: Pick<Prepared, "exePath" | "corePath">): string[] {
  if (exePath === undefined)
    throw new CdhError("CDH_NOT_FOUND", "delve needs the program", {
      hint: "--exe names it; gdb opens a core without",
    });
  // A core of an older Go, or of a newer one, is still worth a look.
  return ["core", exePath, corePath, "--check-go-version=false", "--allow-non-terminal-interactive=true"];
}
