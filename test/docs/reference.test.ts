import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "@cdh/core/errors";
import { renderConfigPage } from "../../scripts/docs/config-page.ts";
import { renderDecisionsPage } from "../../scripts/docs/decisions-page.ts";
import { renderErrorsPage } from "../../scripts/docs/errors-page.ts";
import { PROBLEM_MEANINGS } from "../../scripts/docs/meanings.ts";

const root = path.resolve(import.meta.dirname, "..", "..");

function page(name: string): string {
  return fs.readFileSync(path.join(root, "docs", "reference", name), "utf8");
}

/** Source files of the programs, without their tests. */
function sources(): string[] {
  return fs
    .globSync("packages/*/src/**/*.ts", { cwd: root })
    .filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/"))
    .map((file) => path.join(root, file));
}

describe("docs that are made from sources", () => {
  it("decisions/README.md names each decision by its title (npm run docs)", () => {
    const index = path.join(root, "docs", "decisions", "README.md");
    expect(fs.readFileSync(index, "utf8")).toBe(renderDecisionsPage());
  });

  it("config.md says what the tables of settings say (npm run docs)", () => {
    expect(page("config.md")).toBe(renderConfigPage());
  });

  it("errors.md says what the table of codes says (npm run docs)", () => {
    expect(page("errors.md")).toBe(renderErrorsPage());
  });

  it("explains every code that a program can give", () => {
    const known = new Set([...Object.keys(ERROR_CODES), ...Object.keys(PROBLEM_MEANINGS)]);
    // An environment name of the test suites, no code.
    known.add("CDH_FAULT_POINT");
    const used = new Set(
      sources().flatMap((file) => fs.readFileSync(file, "utf8").match(/(?<=")CDH_[A-Z][A-Z_]*[A-Z](?=")/g) ?? []),
    );
    expect(used.size).toBeGreaterThan(50);
    expect([...used].filter((code) => !known.has(code))).toEqual([]);
    expect(Object.keys(PROBLEM_MEANINGS).filter((code) => !used.has(code))).toEqual([]);
  });
});
