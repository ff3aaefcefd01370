import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { crashPlace } from "@cdh/core/report/crash-line";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig } from "./drive.ts";

const PYTHON = "/usr/bin/python3.11";
const SCRIPT = `import time

class Cart:
    def total(self):
        return max([1], key=lambda item: time.sleep(3600))

def handler(cart):
    return cart.total()

print("ready", flush=True)
handler(Cart())
`;

let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "cdh-python-node-"));
});
afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

/** A /proc in which a process that does not go on is being dumped. */
function layProc(pid: string): string {
  const proc = join(place, "proc");
  const own = join(proc, pid);
  mkdirSync(own, { recursive: true });
  writeFileSync(join(proc, "stat"), readFileSync("/proc/stat"));
  for (const name of ["stat", "cmdline", "cgroup", "limits", "maps", "auxv", "mountinfo"])
    writeFileSync(join(own, name), readFileSync(join("/proc", pid, name)));
  const status = readFileSync(join("/proc", pid, "status"), "utf8");
  writeFileSync(join(own, "status"), status.replace(/^CoreDumping:.*$/m, "CoreDumping:\t1"));
  for (const name of ["mem", "map_files", "exe", "task"]) symlinkSync(join("/proc", pid, name), join(own, name));
  return proc;
}

const missing =
  notBuilt("cdc") ?? missingTools("gcore") ?? (existsSync(PYTHON) ? undefined : `${PYTHON} is not on this machine`);

describeUnless(missing, "a crash of Python", () => {
  it("is told with the functions of Python", async () => {
    const script = join(place, "cart.py");
    writeFileSync(script, SCRIPT);
    const child = spawn(PYTHON, [script], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      await once(child.stdout, "data");
      await new Promise((resolve) => setTimeout(resolve, 300));
      child.kill("SIGSTOP");
      const pid = String(child.pid);
      await promisify(execFile)("gcore", ["-o", join(place, "core"), pid]);
      await using rig = makeRig();
      rig.env({ PROC_ROOT: layProc(pid) });
      const words = { P: pid, p: pid, i: pid, t: String(Math.floor(Date.now() / 1000)), e: "python3.11" };
      const result = await rig.run(createReadStream(join(place, `core.${pid}`)), { args: kernelWords(words) });
      expect(result.exitCode).toBe(0);
      const { manifest } = await rig.bundle();
      const said = `${JSON.stringify(manifest.problems)} ${JSON.stringify(manifest.threads)}`;
      expect(crashPlace(manifest), said).toBe(
        "clock_nanosleep() ← Cart.total.<locals>.<lambda>() at cart.py:5 ← Cart.total() ← handler()",
      );
      expect(manifest.signature).toBe("Cart.total.<locals>.<lambda> | Cart.total @ cart.py");
      expect(manifest.site).toMatch(/^[\da-f]{16}$/);
    } finally {
      child.kill("SIGKILL");
    }
  }, 60_000);
});
