import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { podNodeUnavailable } from "./pod-node.ts";
import { expectSoon } from "./soon.ts";

describeUnless(podNodeUnavailable(), "a machine for pods", () => {
  const scratch = scratchDirectory("held");

  it.each(["SIGINT", "SIGKILL"] as const)("is gone with whoever started it, by %s", async (signal) => {
    const holder = spawn(process.execPath, [join(REPOSITORY, "test/pods/hold-node.ts"), scratch], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(holder, "exit");
    const said = await Promise.race([once(holder.stdout, "data"), ended.then(() => [""])]);
    const [dir = "", pid = ""] = String(said[0]).trim().split(" ");
    expect(existsSync(dir)).toBe(true);
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("/crasher");
    holder.kill(signal);
    await ended;
    await expectSoon("its files are gone", () => !existsSync(dir));
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    const cgroups = spawnSync("find", ["/sys/fs/cgroup", "-type", "d", "-name", basename(dir)], { encoding: "utf8" });
    expect(cgroups.stdout).toBe("");
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(dir);
  });
});
