import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { builtPath, notBuilt, runPath } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";

const page = join(REPOSITORY, "docs/inspecting.md");
const older = join(REPOSITORY, "test/fixtures/bundles/older");

/** Split the first console block into commands and what they print. */
function recordedSessions(text: string): { block: string; sessions: { command: string; output: string }[] } {
  const block = /```console\n([^]*?)```/.exec(text)?.[1] ?? "";
  const sessions = block.split(/^\$ /m).slice(1);
  return {
    block,
    sessions: sessions.map((session) => {
      const end = session.indexOf("\n");
      return { command: session.slice(0, end), output: session.slice(end + 1).trimEnd() };
    }),
  };
}

async function outputOf(command: string): Promise<string> {
  const shell = command.replace(/^cdh-inspect/, builtPath("cdh-inspect"));
  const { stdout } = await runPath("/bin/sh", ["-c", shell], { cwd: older });
  return stdout.trimEnd();
}

/** Time goes on after a recording. */
const timeless = (text: string): string => text.replaceAll(/, \d+[a-z0-9 ]* ago/g, ", … ago");

describeUnless(notBuilt("cdh-inspect"), "docs/inspecting.md", () => {
  it("shows what the program prints (CDH_RECORD=1 records it again)", async () => {
    const text = readFileSync(page, "utf8");
    const { block, sessions } = recordedSessions(text);
    expect(sessions.length).toBeGreaterThan(7);
    const recorded: string[] = [];
    for (const { command, output } of sessions) {
      const printed = await outputOf(command);
      recorded.push(`$ ${command}\n${printed}\n`);
      // Names of the C library's functions are there only where the same library is.
      if (process.env["CDH_RECORD"] === undefined && !command.includes(" bt "))
        expect(timeless(printed), command).toBe(timeless(output));
    }
    if (process.env["CDH_RECORD"] !== undefined)
      writeFileSync(
        page,
        text.replace(block, () => recorded.join("\n")),
      );
  }, 180_000);
});
