import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { makeTestNative } from "../testing/test-native.ts";
import { PAGE_BYTES, PopulatedPages } from "./populated-pages.ts";

/** A process that stays as it is. */
async function still(): Promise<ChildProcess> {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  for (let state = ""; state !== "S";)
    state = /\) (.)/.exec(readFileSync(`/proc/${child.pid}/stat`, "utf8"))?.[1] ?? "S";
  return child;
}

it("finds the pages that hold something, and no others", async () => {
  const child = await still();
  const fd = openSync(`/proc/${child.pid}/pagemap`, "r");
  try {
    const maps = readFileSync(`/proc/${child.pid}/maps`, "utf8");
    const [, low = "", high = ""] = /^([0-9a-f]+)-([0-9a-f]+) .*\[stack\]$/m.exec(maps) ?? [];
    const [start, end] = [Number.parseInt(low, 16), Number.parseInt(high, 16)];
    const pages = new PopulatedPages(fd, makeTestNative());
    const top = pages.next(end - PAGE_BYTES, end);
    expect(top).toEqual({ start: end - PAGE_BYTES, end });
    const all = pages.count({ start, end }, Number.MAX_SAFE_INTEGER);
    expect(all).toBeGreaterThan(0);
    expect(all).toBeLessThan(end - start);
    expect(pages.count({ start, end }, 1)).toBeGreaterThan(0);
    // Nothing is mapped far below.
    expect(pages.next(PAGE_BYTES * 16, PAGE_BYTES * 4000)).toBeUndefined();
    expect(pages.isGuard(start)).toBe(false);
  } finally {
    closeSync(fd);
    child.kill("SIGKILL");
  }
});
