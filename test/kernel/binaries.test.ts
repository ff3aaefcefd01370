import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const SOURCE = join(REPOSITORY, "test/inspect/programs/frames.c");

describeUnless(kernelSuiteUnavailable() ?? notBuilt("cdh-inspect", "cdh-upload"), "programs of crashes", () => {
  const suite = setUpKernel();
  let store: string;
  let spool: string;
  let installed: string;

  const env = (): Record<string, string> => ({
    PATH: process.env["PATH"] ?? "",
    HOME: join(suite.scratch, "home"),
    CORE_DIR: spool,
    STORE_URL: `file://${store}`,
    KUBERNETES_EVENTS: "false",
  });
  const sweep = (): Promise<BuiltResult> =>
    runBuilt("cdh-upload", ["sweep", "--log-level", "info", "--log-format", "json"], {
      env: env(),
      timeoutMs: 300_000,
    });
  const spooled = (): string[] =>
    existsSync(join(spool, "binaries"))
      ? readdirSync(join(spool, "binaries")).filter((name) => name.endsWith(".zst"))
      : [];
  /** A program of its own, stripped or not, in a folder that goes away with it, like an image. */
  const make = (name: string, ...flags: string[]): { program: string; buildId: string } => {
    const image = join(suite.scratch, "image");
    mkdirSync(image, { recursive: true });
    const program = join(image, name);
    const buildId = createHash("sha1").update(name).digest("hex");
    execFileSync("gcc", [
      "-O1",
      "-fno-optimize-sibling-calls",
      `-Wl,--build-id=0x${buildId}`,
      "-o",
      program,
      SOURCE,
      ...flags,
    ]);
    return { program, buildId };
  };
  /** Crash it, remove it, and wait until its composer has ended: it packs last. */
  const crash = async (program: string): Promise<string> => {
    const { pid } = await runCrash(program);
    const { path } = await suite.composer.bundleOf(pid, 120_000);
    rmSync(program);
    const end = Date.now() + 300_000;
    while (suite.composer.running().length > 0 && Date.now() < end) await delay(50);
    return path;
  };
  /** Run the composer with other settings than those it was installed with. */
  const set = (settings: Record<string, string>): void => {
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${JSON.stringify(value)}\n`);
    writeFileSync(join(suite.composer.hostDir, ".env"), installed + lines.join(""));
  };
  const stored = (): string[] => (existsSync(join(store, "debug")) ? readdirSync(join(store, "debug")).toSorted() : []);

  beforeAll(() => {
    store = join(suite.scratch, "store");
    spool = suite.composer.coreDir;
    installed = readFileSync(join(suite.composer.hostDir, ".env"), "utf8");
    mkdirSync(join(suite.scratch, "home"), { recursive: true });
  });

  it("are sent once, and open a crash whose image is gone", async () => {
    const { program, buildId } = make("first", "-g");
    await crash(program);
    // The program has debug info; libc and the loader have none.
    expect(spooled()).toContain(`${buildId}.debuginfo.zst`);
    expect(spooled().length).toBeGreaterThanOrEqual(3);
    expect(statSync(join(spool, "binaries", `${buildId}.debuginfo.zst`)).mode & 0o777).toBe(0o600);
    const first = await sweep();
    expect(outcomeOf(first)).toBe("exit 0");
    expect(first.stderr).toContain(buildId);
    expect(stored()).toContain(buildId);
    expect(spooled()).toEqual([]);
    const bundle = readdirSync(join(store, "_host")).find((name) => name.endsWith(".zip")) ?? "";
    const { stdout } = await runBuilt("cdh-inspect", ["bt", "--raw", join(store, "_host", bundle)], {
      env: env(),
      timeoutMs: 300_000,
    });
    expect(stdout).toMatch(/frame_three.*frames\.c:6/);
  });

  it("are not sent again when the same image crashes again", async () => {
    const { program, buildId } = make("again");
    const copy = `${program}.copy`;
    copyFileSync(program, copy);
    await crash(program);
    // Everything but the program is known from before.
    expect(spooled()).toEqual([`${buildId}.executable.zst`]);
    expect(outcomeOf(await sweep())).toBe("exit 0");
    const before = execFileSync("find", [join(store, "debug"), "-printf", "%p %s %T@\n"], { encoding: "utf8" });
    execFileSync("mv", [copy, program]);
    await crash(program);
    expect(spooled()).toEqual([]);
    expect(outcomeOf(await sweep())).toBe("exit 0");
    // Not a byte more lies there, and nothing was written anew.
    expect(execFileSync("find", [join(store, "debug"), "-printf", "%p %s %T@\n"], { encoding: "utf8" })).toBe(before);
  });

  it("are not sent when another node was first", async () => {
    const { program, buildId } = make("other");
    expect(outcomeOf(await runBuilt("cdh-inspect", ["symbols", "push", program], { env: env() }))).toBe("exit 0");
    const object = join(store, "debug", buildId, "executable.zst");
    const { mtimeMs } = statSync(object);
    await crash(program);
    expect(spooled()).toEqual([`${buildId}.executable.zst`]);
    const sent = await sweep();
    expect(sent.stderr).toMatch(/"outcome":"alreadyThere"/);
    expect(statSync(object).mtimeMs).toBe(mtimeMs);
    expect(spooled()).toEqual([]);
  });

  it("are kept by their SHA-256 where they have no build-id", async () => {
    const { program } = make("unnamed", "-g", "-Wl,--build-id=none");
    const sha256 = createHash("sha256").update(readFileSync(program)).digest("hex");
    const copy = `${program}.copy`;
    copyFileSync(program, copy);
    const path = await crash(program);
    expect(spooled()).toContain(`${sha256}.debuginfo.zst`);
    const name = path.slice(path.lastIndexOf("/") + 1);
    expect(outcomeOf(await sweep())).toBe("exit 0");
    expect(stored()).toContain(sha256);
    const bundle = join(store, "_host", name);
    const around = { env: env(), timeoutMs: 300_000 };
    const { modules } = JSON.parse(readFileSync(bundle.replace(/zip$/, "manifest.json"), "utf8")) as {
      modules: { path: string; sha256?: string }[];
    };
    expect(modules.filter((one) => one.sha256 !== undefined)).toEqual([
      expect.objectContaining({ path: expect.stringMatching(/unnamed$/), sha256 }),
    ]);
    const stacks = await runBuilt("cdh-inspect", ["bt", "--raw", bundle], around);
    expect(stacks.stdout).toMatch(/frame_three.*frames\.c:6/);
    const shown = await runBuilt("cdh-inspect", ["show", bundle], around);
    expect(shown.stdout).toMatch(/^Opens +lines: unnamed/m);
    const folder = join(suite.scratch, "unnamed-offline");
    const written = await runBuilt("cdh-inspect", ["unpack", "--with-binaries", bundle, folder], around);
    expect(written.stderr).not.toContain("unnamed");
    expect(readFileSync(join(folder, "program")).equals(readFileSync(copy))).toBe(true);
    // What a crash refers to stays.
    const pruned = await runBuilt("cdh-inspect", ["symbols", "prune", "--store", store, "--dry-run"], around);
    expect(pruned.stdout).not.toContain(sha256);
    // The second crash sends nothing.
    execFileSync("mv", [copy, program]);
    await crash(program);
    expect(spooled()).toEqual([]);
    expect(outcomeOf(await sweep())).toBe("exit 0");
  });

  it("are only the program, none, or none that is too large, as BINARIES and BINARIES_MAX say", async () => {
    rmSync(join(spool, "state/stored-binaries"), { recursive: true });
    set({ BINARIES: "executable" });
    const { program, buildId } = make("alone");
    await crash(program);
    expect(spooled()).toEqual([`${buildId}.executable.zst`]);
    rmSync(join(spool, "binaries"), { recursive: true });
    set({ BINARIES: "off" });
    await crash(make("none").program);
    expect(spooled()).toEqual([]);
    // The loader and the program are smaller, libc is larger.
    set({ BINARIES_MAX: "1Mi" });
    const small = make("small");
    await crash(small.program);
    expect(spooled()).toContain(`${small.buildId}.executable.zst`);
    expect(spooled().every((name) => statSync(join(spool, "binaries", name)).size < 1024 * 1024)).toBe(true);
    expect(readFileSync(join(suite.composer.hostDir, "composer.log"), "utf8")).toMatch(
      /libc\.so\.6: its \d+ bytes are more than BINARIES_MAX/,
    );
    set({});
  });

  it("are packed to the end, however long it takes, and no longer than their composer lives", async () => {
    // Read at once, and yet large enough to be found at work.
    const data = join(suite.scratch, "data.s");
    writeFileSync(join(suite.scratch, "data"), randomBytes(96 * 1024 * 1024));
    writeFileSync(data, `.section .rodata\n.incbin "${join(suite.scratch, "data")}"\n.section .note.GNU-stack\n`);
    const begin = async (name: string): Promise<{ buildId: string; packer: number; composer: number }> => {
      const { program, buildId } = make(name, data);
      const { pid } = await runCrash(program);
      await suite.composer.bundleOf(pid, 120_000);
      const packer = await packerAtWork(spool);
      process.kill(packer, "SIGSTOP");
      rmSync(program);
      return { buildId, packer, composer: parentOf(packer) ?? 0 };
    };
    const { buildId, packer, composer } = await begin("long");
    // Composing itself ends 10 s after it has published.
    await delay(13_000);
    expect(parentOf(packer)).toBe(composer);
    process.kill(packer, "SIGCONT");
    await expectSoon(() => suite.composer.running().length === 0);
    expect(spooled()).toContain(`${buildId}.executable.zst`);

    const killed = await begin("killed");
    process.kill(killed.composer, "SIGKILL");
    await expectSoon(() => parentOf(killed.packer) === undefined);
    expect(spooled()).not.toContain(`${killed.buildId}.executable.zst`);
  });

  it("of 2 GiB are packed within the packer's memory", async () => {
    rmSync(join(spool, "binaries"), { recursive: true, force: true });
    set({ BINARIES_MAX: "3GiB", BINARIES: "executable", KEEP_FREE: "1%" });
    const { program, buildId } = make("huge");
    // Some of it is hard to pack, and most is holes.
    const noise = randomBytes(64 * 1024 * 1024);
    const fd = openSync(program, "r+");
    for (let part = 0; part < 4; part += 1) writeSync(fd, noise, 0, noise.length, (1 + part) * 256 * 1024 * 1024);
    closeSync(fd);
    truncateSync(program, 2 * 1024 ** 3);
    const { pid } = await runCrash(program);
    await suite.composer.bundleOf(pid, 120_000);
    const packer = await packerAtWork(spool);
    let mostKib = 0;
    while (existsSync(`/proc/${packer}`)) {
      const status = readText(`/proc/${packer}/status`);
      mostKib = Math.max(mostKib, Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0));
      if (/^State:\s+Z/m.test(status)) break;
      await delay(20);
    }
    await expectSoon(() => suite.composer.running().length === 0);
    rmSync(program);
    expect(spooled()).toEqual([`${buildId}.executable.zst`]);
    const { sizeBytes } = JSON.parse(readFileSync(join(spool, "binaries", `${buildId}.executable.json`), "utf8")) as {
      sizeBytes: number;
    };
    expect(sizeBytes).toBe(2 * 1024 ** 3);
    expect(mostKib).toBeGreaterThan(1024);
    expect(mostKib).toBeLessThan(160 * 1024);
    rmSync(join(spool, "binaries"), { recursive: true });
    set({});
  });

  it("give way to a core that has no room beside them", async () => {
    mkdirSync(join(spool, "binaries"), { recursive: true });
    const waiting = join(spool, "binaries", `${"ab".repeat(20)}.executable.zst`);
    writeFileSync(waiting, "x");
    set({ KEEP_FREE: "100%" });
    const path = await crash(make("short").program);
    set({});
    expect(existsSync(path)).toBe(true);
    expect(existsSync(waiting)).toBe(false);
    expect(spooled()).toEqual([]);
  });
});

/** The pid of the process that packs files of a crash, once it does. */
async function packerAtWork(spool: string): Promise<number> {
  let found: string | undefined;
  await expectSoon(() => {
    found = readdirSync("/proc").find(
      (name) => /^\d+$/.test(name) && readText(`/proc/${name}/cmdline`).includes("--pack-binaries"),
    );
    return found !== undefined && existsSync(join(spool, "binaries/.draft"));
  }, 5);
  return Number(found);
}

/** The parent of a process; undefined when it has gone. */
function parentOf(pid: number): number | undefined {
  const status = readText(`/proc/${pid}/status`);
  const parent = /^PPid:\t(\d+)$/m.exec(status)?.[1];
  return parent === undefined || /^State:\tZ/m.test(status) ? undefined : Number(parent);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

async function expectSoon(holds: () => boolean, lookMs = 50): Promise<void> {
  const end = Date.now() + 120_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error("waited in vain");
    await delay(lookMs);
  }
}
