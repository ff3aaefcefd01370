import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeRoots } from "@cdh/core/roots";
import { mayEnlargePipe } from "./pipe-size.ts";

const MIB = 1024 * 1024;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cdh-pipe-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Lay out the process 7 in a cgroup, and the files of cgroups. */
function lay(cgroup: string, files: Record<string, string> = {}): boolean {
  const roots = makeRoots({ procRoot: join(root, "proc"), sysRoot: join(root, "sys") });
  mkdirSync(join(roots.proc, "7"), { recursive: true });
  writeFileSync(join(roots.proc, "7", "cgroup"), cgroup);
  for (const [name, text] of Object.entries(files)) {
    const path = join(roots.sys, "fs/cgroup", name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `${text}\n`);
  }
  return mayEnlargePipe(roots, 7);
}

it.each([
  ["far from its limit", 100 * MIB, 50 * MIB, true],
  ["close to it", 100 * MIB, 98 * MIB, false],
  ["over it", 100 * MIB, 101 * MIB, false],
])("a container %s, by cgroup v1, v2 and both", (_what, max, current, may) => {
  const v1 = { "memory/pods/a/memory.limit_in_bytes": `${max}`, "memory/pods/a/memory.usage_in_bytes": `${current}` };
  expect(lay("9:cpu:/other\n4:memory:/pods/a\n0::/\n", v1)).toBe(may);
  const v2 = { "pods/b/memory.max": `${max}`, "pods/b/memory.current": `${current}` };
  expect(lay("0::/pods/b\n", v2)).toBe(may);
  const hybrid = { "unified/pods/c/memory.max": `${max}`, "unified/pods/c/memory.current": `${current}` };
  expect(lay("0::/pods/c\n", hybrid)).toBe(may);
});

it("the pod's limit counts as well as the container's", () => {
  const files = {
    "pod/container/memory.max": "max",
    "pod/container/memory.current": `${99 * MIB}`,
    "pod/memory.max": `${100 * MIB}`,
    "pod/memory.current": `${99 * MIB}`,
  };
  expect(lay("0::/pod/container\n", files)).toBe(false);
});

it("without a limit, without a memory controller, and for one that is gone it may", () => {
  expect(lay("0::/pod\n", { "pod/memory.max": "max", "pod/memory.current": "1" })).toBe(true);
  expect(lay("0::/other\n")).toBe(true);
  expect(lay("0::/\n")).toBe(true);
  expect(lay("")).toBe(true);
  expect(mayEnlargePipe(makeRoots({ procRoot: join(root, "proc") }), 8)).toBe(true);
  expect(mayEnlargePipe(makeRoots(), undefined)).toBe(true);
});

it("a path that leads out of the hierarchy is not followed; what can't be read keeps it small", () => {
  expect(lay("0::/../../pod\n", { "pod/memory.max": "1", "pod/memory.current": "1" })).toBe(true);
  const roots = makeRoots({ procRoot: join(root, "proc"), sysRoot: join(root, "sys") });
  rmSync(join(roots.proc, "7", "cgroup"));
  mkdirSync(join(roots.proc, "7", "cgroup"));
  expect(mayEnlargePipe(roots, 7)).toBe(false);
});
