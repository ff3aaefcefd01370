import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { REPOSITORY } from "../helpers/repository.ts";

const text = fs.readFileSync(path.join(REPOSITORY, "CONTRIBUTING.md"), "utf8");

it("each answer of the stranger's test is a file, at most two folders below its package's sources", () => {
  const section = /### A stranger's test\n(.*?)\n## /s.exec(text)?.[1] ?? "";
  const answers = [...section.matchAll(/^\| … .*\| `([^`]+)` \|$/gm)].map(([, answer = ""]) => answer);
  expect(answers.length).toBeGreaterThanOrEqual(10);
  expect(new Set(answers).size).toBe(answers.length);
  for (const answer of answers) {
    expect(fs.statSync(path.join(REPOSITORY, answer), { throwIfNoEntry: false })?.isFile(), answer).toBe(true);
    const [, inside] = /^packages\/[^/]+\/src\/(.+)$/.exec(answer) ?? [];
    if (inside !== undefined) expect(inside.split("/").length, answer).toBeLessThanOrEqual(2);
  }
});
