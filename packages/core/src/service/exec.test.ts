import { describe, expect, it } from "vitest";
import { run } from "./exec.ts";

const sh = (script: string, options = {}): ReturnType<typeof run> => run("/bin/sh", ["-c", script], options);

describe("a child process", () => {
  it("has both streams, its exit status, and no more environment than it was given", async () => {
    expect(await sh("printf 'out\\n'; printf err >&2; echo $ONE$HOME; exit 3", { env: { ONE: "1" } })).toMatchObject({
      stdout: "out\n1\n",
      stderr: "err",
      exitCode: 3,
      failed: true,
      truncated: false,
      timedOut: false,
      notStarted: undefined,
    });
    expect(await sh("cat", { input: "é\n" })).toMatchObject({ stdout: "é\n", exitCode: 0, failed: false });
  });

  it("that is not there says so", async () => {
    expect(await run("/no/such/program", [])).toMatchObject({ failed: true, notStarted: "ENOENT", stdout: "" });
  });

  it("ends by a signal", async () => {
    expect(await sh("kill -9 $$")).toMatchObject({ failed: true, signal: "SIGKILL", exitCode: undefined });
  });

  it.each(["1", "2"])("that writes too much to stream %s is cut and killed, with its children", async (stream) => {
    const result = await sh(`cat /dev/zero >&${stream} & echo $! >&2; cat /dev/zero >&${stream}`, {
      maxOutputBytes: 1_000_000,
    });
    expect(result).toMatchObject({ failed: true, truncated: true, timedOut: false });
    expect(Math.max(result.stdout.length, result.stderr.length)).toBe(1_000_000);
    expect(result.durationMs).toBeLessThan(20_000);
  });

  it("that writes too much leaves nothing where that is of no use", async () => {
    const result = await sh("exec cat /dev/zero", { maxOutputBytes: 1_000_000, dropsCutOutput: true });
    expect(result).toMatchObject({ failed: true, truncated: true, stdout: "" });
  });

  it("that writes as much as it may is whole", async () => {
    const result = await sh("head -c 1000000 /dev/zero", { maxOutputBytes: 1_000_000 });
    expect(result).toMatchObject({ failed: false, truncated: false });
    expect(result.stdout.length).toBe(1_000_000);
  });

  it("that never ends is killed at its deadline, and by whoever gives up", async () => {
    const silent = await sh("echo first; sleep 600 & wait", { timeoutMs: 300 });
    expect(silent).toMatchObject({ failed: true, timedOut: true, stdout: "first\n" });
    expect(await sh("sleep 600", { signal: AbortSignal.timeout(100) })).toMatchObject({ failed: true, aborted: true });
  });

  it.each(["setsid sleep 30 & echo first", "setsid sleep 30 & echo first; sleep 30"])(
    "whose helper left its process group ends at the deadline: %s",
    async (script) => {
      const result = await sh(script, { timeoutMs: 300 });
      expect(result).toMatchObject({ failed: true, timedOut: true, aborted: false, stdout: "first\n" });
      expect(result.durationMs).toBeLessThan(15_000);
    },
  );
});
