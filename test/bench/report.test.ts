import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { writeDocs } from "./docs.ts";
import { HANDLERS, parseBenchOptions } from "./options.ts";
import { median, rowsOf, targetLines } from "./report.ts";
import type { Cell } from "./run.ts";

function cell(sizeMb: number, holds: Record<string, number>): Cell {
  return {
    sizeMb,
    kind: "mixed",
    series: Object.entries(holds).map(([name, holdMs]) => ({
      name: name as Cell["series"][number]["name"],
      command: name,
      samples: [1, 0.9, 1.3].map((factor) => ({
        holdMs: holdMs * factor,
        doneMs: 2 * holdMs,
        outputBytes: 1048576,
        peakRssBytes: 2097152,
        cpuMs: 5,
      })),
    })),
  };
}

describe("the bench's report", () => {
  it("takes the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it("gives ratios to zstd -1 and says which targets are reached", () => {
    const measured = cell(512, { "cdc-zstd": 800, "zstd-1": 1000, pigz: 3000 });
    expect(rowsOf(measured)[1]?.slice(0, 4)).toEqual(["cdc-zstd", "0.80", "800", "720–1040"]);
    expect(targetLines(measured)).toEqual([
      "cdc-zstd ÷ zstd-1: 0.80, to reach ≤ 0.85: reached",
      "cdc-zstd ÷ pigz: 0.27, to reach ≤ 0.20: not reached",
    ]);
  });

  it("writes between its marks only, and keeps sections that were not measured again", () => {
    const file = join(mkdtempSync(join(tmpdir(), "cdh-bench-")), "performance.md");
    writeFileSync(file, "# Performance\n\nBy hand.\n");
    writeDocs(file, [cell(512, { "zstd-1": 1000 }), cell(8, { "zstd-1": 20 })], ["`zstd-1`: zstd"]);
    writeFileSync(file, `${readFileSync(file, "utf8")}\n## Uploads\n\nBy others.\n`);
    writeDocs(file, [cell(512, { "zstd-1": 2000 })], ["`zstd-1`: zstd"]);
    const text = readFileSync(file, "utf8");
    expect(text).toMatch(/^# Performance\n\nBy hand\.\n/);
    expect(text).toMatch(/\n## Uploads\n\nBy others\.\n$/);
    expect(text.match(/^### .*$/gm)).toEqual(["### 8 MB, mixed", "### 512 MB, mixed"]);
    expect(text).toContain("| zstd-1 | 1.00 | 2000 |");
    expect(text).not.toContain("| zstd-1 | 1.00 | 1000 |");

    writeDocs(file, [cell(4096, { "gzip-6": 9, cat: 5 })], ["`cat`: cat to nowhere"]);
    const more = readFileSync(file, "utf8");
    expect(more.match(/^### .*$/gm)).toEqual(["### 8 MB, mixed", "### 512 MB, mixed", "### 4 GB, mixed"]);
    expect(more.match(/^- `.*$/gm)).toEqual(["- `zstd-1`: zstd", "- `cat`: cat to nowhere"]);
    expect(more.match(/3 runs\.$/gm)).toHaveLength(3);
  });

  it("reads its command line, and refuses what it doesn't know", () => {
    expect(
      parseBenchOptions(
        ["--size", "512M,4G", "--kind", "zero", "--handlers", "cdc-zstd,cat", "--runs", "7", "--no-docs"],
        "d",
      ),
    ).toEqual({
      sizesMb: [512, 4096],
      kinds: ["zero"],
      handlers: ["cdc-zstd", "cat"],
      runs: 7,
      docs: undefined,
      json: undefined,
    });
    expect(parseBenchOptions([], "d")?.handlers).toEqual(HANDLERS);
    expect(() => parseBenchOptions(["--size", "12"], "d")).toThrow("no size");
    expect(() => parseBenchOptions(["--handlers", "lz4"], "d")).toThrow("no handler named");
    expect(() => parseBenchOptions(["--runs", "0"], "d")).toThrow("--runs");
    expect(parseBenchOptions(["--help"], "d")).toBeUndefined();
  });
});
