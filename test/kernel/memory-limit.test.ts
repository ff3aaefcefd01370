import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const KIB = 1024;
const V1 = "/sys/fs/cgroup/memory";
const V2 = "/sys/fs/cgroup";

/** The memory controller of this machine: where its cgroups are, and the names of its files. */
function memoryController(): { root: string; limit: string; peak: string } | undefined {
  if (existsSync(join(V1, "memory.usage_in_bytes")))
    return { root: V1, limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes" };
  if (existsSync(join(V2, "cgroup.subtree_control"))) return { root: V2, limit: "memory.max", peak: "memory.peak" };
  return undefined;
}

const controller = memoryController();
const unavailable = controller === undefined ? "this machine has no memory controller" : undefined;

describeUnless(kernelSuiteUnavailable() ?? unavailable, "a process close to its container's memory limit", () => {
  const suite = setUpKernel();
  const { root, limit, peak } = controller ?? { root: "", limit: "", peak: "" };
  const cgroup = join(root, `cdh-limit-${process.pid}`);
  beforeAll(() => {
    if (root === V2) writeFileSync(join(root, "cgroup.subtree_control"), "+memory");
    mkdirSync(cgroup);
  });
  afterAll(() => rmdirSync(cgroup));

  const crash = async (): Promise<Awaited<ReturnType<typeof suite.composer.bundleOf>>> => {
    const script = `echo $$ > ${cgroup}/cgroup.procs; exec "$0" "$@"`;
    const { pid } = await runCrash("/bin/sh", ["-c", script, compileCrashPrograms().fill, "100", "mixed"]);
    return await suite.composer.bundleOf(pid);
  };

  it("leaves its core whole: the pipe costs it no memory that it does not have", async () => {
    writeFileSync(join(cgroup, limit), `${1024 * KIB * KIB}`);
    const free = await crash();
    expect(free.manifest.core.complete).toBe(true);
    // With room the pipe is large, and its pages are charged too: a mebibyte that is no part of what the process needs.
    const needed = Number(readFileSync(join(cgroup, peak), "utf8")) - 1024 * KIB;
    const ends: (string | undefined)[] = [];
    for (const spareKib of [300, 500, 700]) {
      writeFileSync(join(cgroup, limit), `${needed + spareKib * KIB}`);
      const { manifest } = await crash();
      ends.push(manifest.core.complete ? "whole" : `${spareKib} KiB: ${manifest.core.sizeBytes} bytes`);
    }
    expect(ends).toEqual(["whole", "whole", "whole"]);
  });
});
