import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, it } from "vitest";
import { holdKernel, kernelUnavailable, readKernelSettings } from "../helpers/kernel-state.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";

const CHANGER = join(REPOSITORY, "test/kernel/change-settings.ts");

describeUnless(kernelUnavailable(), "the guard of the kernel's settings", () => {
  it.each([{ end: "exit" }, { end: "throw" }, { end: "SIGINT" }, { end: "SIGTERM" }, { end: "SIGKILL" }])(
    "puts them back when the test ends by $end",
    async ({ end }) => {
      const before = await (async () => {
        await using hold = await holdKernel();
        return { ...hold.saved };
      })();
      const child = spawn(process.execPath, [CHANGER, end], { stdio: ["ignore", "pipe", "ignore"] });
      child.stdout.setEncoding("utf8");
      let said = "";
      child.stdout.on("data", (text: string) => (said += text));
      await once(child, "close");
      // It did change them, under the lock.
      expect(JSON.parse(said)).toEqual({ corePattern: "/tmp/cdh-guard.%p", corePipeLimit: "7", suidDumpable: "1" });
      // Taking the lock means that the guard is done.
      await using hold = await holdKernel();
      expect(hold.saved).toEqual(before);
      expect(readKernelSettings()).toEqual(before);
    },
    700_000,
  );

  it("refuses, with who to look for, when somebody else holds the lock for too long", async () => {
    await using hold = await holdKernel();
    expect(hold.saved.corePattern).not.toBe("");
    await expect(holdKernel(0)).rejects.toThrow(/cdh-kernel\.lock.*CDH_KERNEL_LOCK_WAIT/);
  }, 700_000);

  it("notices a value that the kernel cut", async () => {
    await using hold = await holdKernel();
    expect(() => hold.set({ corePattern: `/tmp/${"x".repeat(200)}` })).toThrow(/after writing/);
    expect(readKernelSettings().corePattern.length).toBe(127);
  }, 700_000);
});
