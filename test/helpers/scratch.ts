import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A test file's own temporary directory. To be called at the top of the file; removed after its last test. */
export function scratchDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `cdh-${name}-`));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
