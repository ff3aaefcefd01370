import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createContext, Script } from "node:vm";
import { expect, it } from "vitest";
import { FRAME_RULES } from "../../packages/core/src/groups/frame-rules.ts";
import { attacksOn, regexesOf } from "./regex-attacks.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Characters that are read of a function's name, which a crashed process's files choose. */
const LENGTH = 1000;
/** For all texts against one expression: a sound one takes milliseconds, an exponential one never ends. */
const MAX_MS = 5_000;

const SOURCES = execFileSync("git", ["ls-files", "packages/*/src/*.ts"], { cwd: ROOT, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "" && !file.endsWith(".test.ts") && !file.includes("/testing/"));

/** Try each text; a watchdog interrupts the expression itself. */
function isSlow(regex: RegExp, timeout = MAX_MS): boolean {
  const { source, flags } = regex;
  const context = createContext({ source, flags, texts: attacksOn(regex, LENGTH) });
  const script = new Script(
    `const regex = new RegExp(source, flags); for (const text of texts) text.replace(regex, "")`,
  );
  try {
    script.runInContext(context, { timeout });
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return true;
    throw error;
  }
}

it.each([
  // The doubling that a table of functions had.
  /^mem(?:cpy|move)(?:_(?:chk|erms|unaligned|\w+_erms))*$/,
  /^(?:\w+_?)+$/,
  /^[a-z]+(?:, ?[a-z]+ ?| ?,[a-z]+)*;$/,
  /\((?:[^()]+|\([^()]*\))*\)/g,
])("%s is found", (regex) => {
  expect(isSlow(regex, 1_000)).toBe(true);
});

it("each expression of the table of frames is among those that are tried", () => {
  const source = readFileSync(join(ROOT, "packages/core/src/groups/frame-rules.ts"), "utf8");
  const found = new Set(regexesOf(source).map(({ regex }) => regex.source));
  expect(FRAME_RULES.map(({ names }) => names.source).filter((names) => !found.has(names))).toEqual([]);
});

it("no text of a thousand characters keeps an expression of the programs busy", { timeout: 600_000 }, () => {
  const found = SOURCES.flatMap((file) =>
    regexesOf(readFileSync(join(ROOT, file), "utf8")).map(({ regex, line }) => ({ at: `${file}:${line}`, regex })),
  );
  expect(found.length).toBeGreaterThan(500);
  expect(found.filter(({ regex }) => isSlow(regex)).map(({ at }) => at)).toEqual([]);
});
