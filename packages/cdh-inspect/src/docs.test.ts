import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ERROR_CODES } from "@cdh/core/errors";
import { ENDING_SIGNALS, EXIT_STATUSES } from "@cdh/core/exit-status";

const text = readFileSync(join(import.meta.dirname, "../../../docs/json-output.md"), "utf8");

it("documents every code of a damaged bundle, and no other", () => {
  const documented = new Set([...text.matchAll(/^\| `(CDH_BUNDLE_[A-Z_]+)`/gm)].map((match) => match[1]));
  expect(documented).toEqual(new Set(Object.keys(ERROR_CODES).filter((code) => code.startsWith("CDH_BUNDLE_"))));
});

it("documents every exit status, in the words of the table", () => {
  const section = /\n## Exit statuses\n(.*?)\n## /s.exec(text)?.[1] ?? "";
  const rows = section
    .split("\n")
    .filter((line) => /^\| \d/.test(line))
    .map((line) => line.split("|").map((cell) => cell.trim()));
  const said = rows.flatMap(([, status, meaning, more, other]) => [
    [status, meaning],
    [more, other],
  ]);
  const wanted = Object.values(EXIT_STATUSES).map(({ status, short }) => [String(status), short]);
  expect(said.filter(([status]) => /^\d+$/.test(status ?? ""))).toEqual(expect.arrayContaining(wanted));
  expect(said).toHaveLength(wanted.length + 1);
  for (const [signal, status] of Object.entries(ENDING_SIGNALS))
    expect(section).toContain(`${status} ${signal === "SIGINT" ? "Ctrl-C" : signal}`);
});
