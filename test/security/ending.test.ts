import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, runBuilt, type Program } from "../helpers/built.ts";
import { fuseUnavailable, mountFuse, type Fuse } from "../helpers/hanging-mount.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeHost, OWN, sysctlSuiteUnavailable } from "../sysctl/host.ts";

const place = scratchDirectory("security-ending");
const mounts: Fuse[] = [];

afterAll(async () => {
  for (const mount of mounts) await mount[Symbol.asyncDispose]();
});

/** A mount whose server does not answer any more. */
interface FrozenMount {
  mount: string;
  /** Let the server answer again. */
  thaw: () => void;
}

/** Mount a directory by a server in user space, and stop the server. */
async function frozenMount(name: string, fill: (source: string) => void): Promise<FrozenMount> {
  const fuse = await mountFuse(place, name);
  mounts.push(fuse);
  fill(fuse.behind);
  await fuse.hang();
  return { mount: fuse.path, thaw: fuse.answer };
}

/** Put a bundle on such a mount. @returns its path, and what thaws the server */
async function frozenBundle(name: string): Promise<{ path: string; thaw: () => void }> {
  const { mount, thaw } = await frozenMount(name, (source) => {
    const bundle = makeSampleEntries(Buffer.alloc(1000));
    writeFileSync(join(source, "x.zip"), makeRawZip([bundle.core, bundle.manifest]));
  });
  return { path: join(mount, "x.zip"), thaw };
}

/** Start a program, let it get where it hangs, and send a signal. @returns how it ended, and how long that took */
async function endedBy(
  signal: NodeJS.Signals,
  program: Program,
  args: readonly string[],
  options: { env?: Record<string, string>; again?: boolean } = {},
): Promise<{ code: number | null; signal: string | null; stderr: string; ms: number }> {
  const child = spawn(builtPath(program), args, {
    env: { PATH: process.env["PATH"] ?? "", ...options.env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  const guard = setTimeout(() => child.kill("SIGKILL"), 40_000);
  await delay(3000);
  expect(child.exitCode, stderr).toBeNull();
  const sentAt = performance.now();
  child.kill(signal);
  if (options.again === true) {
    await delay(300);
    child.kill(signal);
  }
  const [code, by] = await ended;
  clearTimeout(guard);
  return { code, signal: by, stderr, ms: performance.now() - sentAt };
}

describeUnless(notBuilt("cdh-inspect") ?? fuseUnavailable(), "a program ends after the first signal", () => {
  it("where the directory to unpack to cannot be made, and never could", async () => {
    const bundle = makeSampleEntries(Buffer.alloc(1000));
    const path = join(place, "plain.zip");
    writeFileSync(path, makeRawZip([bundle.core, bundle.manifest]));
    const result = await runBuilt("cdh-inspect", ["unpack", path, "/proc/cdh-no-such/deeper"], { timeoutMs: 20_000 });
    expect(result).toMatchObject({ timedOut: false, exitCode: 13 });
  });

  it("where a FIFO stands at the name of a bundle", async () => {
    const fifo = join(place, "some.fifo");
    execFileSync("mkfifo", [fifo]);
    const result = await runBuilt("cdh-inspect", ["show", fifo], { timeoutMs: 20_000 });
    expect(result).toMatchObject({ timedOut: false, exitCode: 13 });
    expect(result.stderr).toContain("not a regular file");
  });

  it.each([
    ["show", "SIGTERM"],
    ["show", "SIGINT"],
    ["ls", "SIGHUP"],
  ] as const)(
    "on a mount whose server hangs: %s, by %s",
    async (verb, signal) => {
      const { path, thaw } = await frozenBundle(`${verb}-${signal}`);
      const result = await endedBy(signal, "cdh-inspect", [verb, path]);
      thaw();
      expect(result).toMatchObject({ code: null, signal });
      expect(result.ms).toBeLessThan(8000);
      expect(result.stderr).toContain(`still not done 3 s after ${signal}`);
    },
    60_000,
  );

  it("at once by the second one, also while a thread of the program hangs", async () => {
    const { path, thaw } = await frozenBundle("twice");
    const result = await endedBy("SIGTERM", "cdh-inspect", ["show", path], { again: true });
    thaw();
    expect(result).toMatchObject({ code: null, signal: "SIGTERM" });
    expect(result.ms).toBeLessThan(2500);
  }, 60_000);
});

describeUnless(sysctlSuiteUnavailable() ?? fuseUnavailable(), "cdh-sysctl with a HOST_DIR that hangs", () => {
  it.each(["status", "doctor", "install", "restore"])(
    "%s ends after the first signal, and changes nothing of the kernel's",
    async (verb) => {
      using host = makeHost();
      const { mount, thaw } = await frozenMount(`sysctl-${verb}`, (source) => mkdirSync(join(source, "h")));
      const env = {
        HOST_DIR: join(mount, "h"),
        PROC_ROOT: host.proc,
        COMPOSER: join(host.directory, "composer-1"),
        PROVE_CAPTURE: "false",
      };
      const result = await endedBy("SIGTERM", "cdh-sysctl", [verb], { env });
      expect(result.stderr).toContain("still not done 3 s after SIGTERM");
      thaw();
      expect(result).toMatchObject({ code: null, signal: "SIGTERM" });
      expect(result.ms).toBeLessThan(8000);
      expect(host.values()).toEqual(OWN);
    },
    60_000,
  );

  it("watch, which waits for it by itself, ends too", async () => {
    using host = makeHost();
    const { mount, thaw } = await frozenMount("sysctl-watch", (source) => mkdirSync(join(source, "h")));
    const env = { HOST_DIR: join(mount, "h"), PROC_ROOT: host.proc, COMPOSER: join(host.directory, "composer-1") };
    const result = await endedBy("SIGTERM", "cdh-sysctl", ["watch"], { env });
    thaw();
    expect(result).toMatchObject({ code: null, signal: "SIGTERM" });
    expect(result.ms).toBeLessThan(8000);
    expect(host.values()).toEqual(OWN);
  }, 60_000);
});
