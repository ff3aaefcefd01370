import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { demangle } from "../../packages/unwind/src/names/demangle.ts";
import { skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

/** Files with names of every kind; what a machine has of them is compared. */
const FILES: readonly { what: string; pattern: string; atLeast: number }[] = [
  { what: "libstdc++", pattern: "/usr/lib/*-linux-gnu/libstdc++.so.6", atLeast: 5000 },
  { what: "LLVM", pattern: "/usr/lib/llvm-*/lib/libLLVM-*.so", atLeast: 20_000 },
  { what: "gdb", pattern: "/usr/bin/gdb", atLeast: 10 },
  { what: "lldb", pattern: "/usr/lib/llvm-*/bin/lldb-server", atLeast: 10 },
];

/** Names of a file's dynamic symbols that a compiler has mangled. */
function mangledNames(file: string): string[] {
  const text = execFileSync("nm", ["-D", "--without-symbol-versions", file], { encoding: "utf8", maxBuffer: 2 ** 28 });
  const names = text.split("\n").map((line) => line.slice(line.lastIndexOf(" ") + 1));
  return [...new Set(names.filter((name) => /^_[ZR]/.test(name)))];
}

/** What binutils makes of names; `-i` is what gdb shows. */
function byBinutils(names: readonly string[]): string[] {
  const text = execFileSync("c++filt", ["-i"], { input: names.join("\n"), encoding: "utf8", maxBuffer: 2 ** 28 });
  return text.trimEnd().split("\n");
}

/** binutils leaves the blank out where an empty pack stands between. */
function closeUp(text: string): string {
  return text.replaceAll(/> (?=>)/g, ">");
}

describe("names that compilers made", () => {
  it.for(FILES)("are what c++filt makes of them: $what", ({ pattern, atLeast }, context) => {
    const [file] = globSync(pattern);
    if (file === undefined) skipAloud(context, `${pattern} is not on this machine`);
    const reason = missingTools("nm", "c++filt");
    if (reason !== undefined) skipAloud(context, reason);
    const names = mangledNames(file);
    expect(names.length).toBeGreaterThanOrEqual(atLeast);
    const theirs = byBinutils(names);
    const others = names.flatMap((name, index) => {
      const wanted = theirs[index] ?? "";
      const ours = demangle(name) ?? name;
      return closeUp(ours) === closeUp(wanted) ? [] : [{ name, ours, theirs: wanted }];
    });
    // Another compiler's library may have what neither of the two reads alike.
    expect(others.length / names.length, JSON.stringify(others[0])).toBeLessThan(0.001);
  });
});
