import { describe, expect, it } from "vitest";
import { run } from "../service/exec.ts";
import { formatCompletion, type CompletedCommand } from "./completion.ts";

const commands: CompletedCommand[] = [
  {
    verb: "show",
    description: "what crashed\n",
    options: [
      { names: ["-o", "--output"], description: "table, json or jsonl", takesValue: true },
      { names: ["--sysroot"], description: "the crashed program's root [a: directory]", takesValue: true },
    ],
  },
  { verb: "ls", description: "list", options: [] },
  {
    verb: "report",
    description: "write",
    options: [{ names: ["-o", "--output"], description: "file", takesValue: true, valueWord: "FILE" }],
  },
];

/** Ask bash itself what it would complete. */
async function complete(...words: string[]): Promise<string[]> {
  const script = `${formatCompletion("bash", "cdh-x", commands)}
COMP_WORDS=(cdh-x "$@"); COMP_CWORD=$#; _cdh_x; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = await run("bash", ["-c", script, "bash", ...words]);
  expect(result.stderr).toBe("");
  return result.stdout.split("\n").filter((line) => line !== "");
}

describe("formatCompletion", () => {
  it("completes verbs, options and values in bash", async () => {
    expect(await complete("s")).toEqual(["show"]);
    expect(await complete("show", "--s")).toEqual(["--sysroot"]);
    expect(await complete("show", "-o", "j")).toEqual(["json", "jsonl"]);
    expect(await complete("ls", "--s")).toEqual([]);
    // Nothing of ours: the shell goes on with files.
    expect(await complete("report", "-o", "j")).toEqual([]);
  });

  it("keeps descriptions inside their quotes in zsh and fish", () => {
    expect(formatCompletion("zsh", "cdh-x", commands)).toContain(
      `'--sysroot[the crashed program'\\''s root a directory ]:value:_files'`,
    );
    expect(formatCompletion("fish", "cdh-x", commands)).toContain("-s o -l output -x -a 'table json jsonl'");
    expect(formatCompletion("fish", "cdh-x", commands)).toContain("from report' -s o -l output -r -d 'file'");
    expect(formatCompletion("zsh", "cdh-x", commands)).toContain("'-o[file]:value:_files'");
  });

  it("says which shells it knows", () => {
    expect(() => formatCompletion("tcsh", "cdh-x", commands)).toThrow(
      expect.objectContaining({ code: "CDH_CONFIG_INVALID" }),
    );
  });
});
