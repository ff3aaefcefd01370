import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { defaultPipeLimit } from "./pipe-limit.ts";

it.each([
  ["MemTotal:        2014412 kB\nMemFree: 1 kB\n", 64],
  ["MemTotal:        8142412 kB\n", 99],
  ["MemTotal:       24683952 kB\n", 128],
  ["nothing", 64],
])("with %j", (meminfo, limit) => {
  const proc = mkdtempSync(join(tmpdir(), "cdh-proc-"));
  try {
    expect(defaultPipeLimit({ proc })).toBe(64);
    writeFileSync(join(proc, "meminfo"), meminfo);
    expect(defaultPipeLimit({ proc })).toBe(limit);
  } finally {
    rmSync(proc, { recursive: true, force: true });
  }
});
