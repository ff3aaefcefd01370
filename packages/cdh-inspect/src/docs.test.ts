import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES, EXIT } from "@cdh/core/errors";
import { expect, it } from "vitest";

const text = readFileSync(join(import.meta.dirname, "../../../docs/json-output.md"), "utf8");

it("documents every code of a damaged bundle, and no other", () => {
  const documented = new Set([...text.matchAll(/^\| `(CDH_BUNDLE_[A-Z_]+)`/gm)].map((match) => match[1]));
  expect(documented).toEqual(new Set(Object.keys(ERROR_CODES).filter((code) => code.startsWith("CDH_BUNDLE_"))));
});

it("documents every exit status", () => {
  const cells = text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .flatMap((line) => line.split("|").map((cell) => cell.trim()));
  for (const status of Object.values(EXIT)) expect(cells).toContain(String(status));
});
