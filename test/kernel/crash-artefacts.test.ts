import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs");

/** Names below `N-artefacts/`. */
function artefactsOf({ entries }: OpenBundle): string[] {
  return entries.flatMap(({ name }) => /-artefacts\/(.*)$/.exec(name)?.[1] ?? []).sort();
}

/** A program that goes by the name of a runtime. */
function compile(folder: string): string {
  const program = join(folder, "node");
  execFileSync("gcc", ["-w", "-o", program, "messages/artefacts.c"], { cwd: SOURCES, stdio: "pipe" });
  return program;
}

describeUnless(kernelSuiteUnavailable(), "what a runtime wrote about a crash", () => {
  const suite = setUpKernel();
  const folder = scratchDirectory("crash-artefacts");
  let program = "";

  beforeAll(() => {
    program = compile(folder);
  });

  async function crash(args: readonly string[], path = program): Promise<OpenBundle & { pid: number }> {
    const cwd = mkdtempSync(join(folder, "cwd-"));
    const { pid } = await runCrash(path, args, { cwd });
    return { ...(await suite.composer.bundleOf(pid, 60_000)), pid };
  }

  it("is in its bundle, whole", { timeout: 180_000 }, async () => {
    const bundle = await crash([]);
    const name = `hs_err_pid${bundle.pid}.log`;
    expect(artefactsOf(bundle)).toEqual([name]);
    expect((await bundle.read(`-artefacts/${name}`)).toString()).toBe("# its own words\n");
    expect(bundle.manifest.core.complete).toBe(true);
    expect(bundle.manifest.problems).toEqual([]);
  });

  it(
    "is never a link's target, a fifo's, another process's, another user's, or old; and bounded",
    { timeout: 180_000 },
    async () => {
      const bundle = await crash(["hostile"]);
      expect(artefactsOf(bundle)).toEqual([`hs_err_pid${bundle.pid}.log`, "large.crashreport.json"].sort());
      expect((await bundle.read("-artefacts/large.crashreport.json")).length).toBeLessThanOrEqual(2 * 1024 * 1024);
      expect(bundle.manifest.problems).toContainEqual(
        expect.objectContaining({ code: "CDH_CUT", detail: expect.stringContaining("large.crashreport.json") }),
      );
      expect(bundle.manifest.composer.drainMs).toBeLessThan(10_000);
    },
  );

  it("is never what is mounted on a name", { timeout: 180_000 }, async () => {
    const cwd = mkdtempSync(join(folder, "mounted-"));
    const mounted = join(cwd, "mounted.crashreport.json");
    const source = "/sys/class/net/lo/mtu";
    writeFileSync(mounted, "");
    execFileSync("mount", ["--bind", source, mounted]);
    try {
      // Young enough to be the process's own.
      utimesSync(source, new Date(), new Date());
      const { pid } = await runCrash(program, [], { cwd });
      const bundle = await suite.composer.bundleOf(pid, 60_000);
      expect(artefactsOf(bundle)).toEqual([`hs_err_pid${pid}.log`]);
      expect(bundle.manifest.problems).toEqual([]);
    } finally {
      execFileSync("umount", ["-l", mounted]);
    }
  });

  it("is found in /tmp, also when the process has gone elsewhere", { timeout: 180_000 }, async () => {
    const elsewhere = mkdtempSync(join(folder, "elsewhere-"));
    const { pid } = await runCrash(program, ["plain", "1", elsewhere], { cwd: "/tmp" });
    const name = `hs_err_pid${pid}.log`;
    try {
      expect(artefactsOf(await suite.composer.bundleOf(pid, 60_000))).toEqual([name]);
    } finally {
      rmSync(join("/tmp", name), { force: true });
    }
  });

  it("is found in a /tmp that is a mount of the process's own", { timeout: 180_000 }, async () => {
    // Outside of /tmp, which the mount hides.
    const outside = mkdtempSync("/var/tmp/crash-artefacts-");
    try {
      copyFileSync(program, join(outside, "node"));
      const script = 'mount -t tmpfs tmpfs /tmp && cd /tmp && exec "$0/node" plain 1 "$0"';
      const { pid } = await runCrash("/usr/bin/unshare", ["--mount", "sh", "-c", script, outside], { cwd: "/" });
      const bundle = await suite.composer.bundleOf(pid, 60_000);
      expect(artefactsOf(bundle)).toEqual([`hs_err_pid${pid}.log`]);
    } finally {
      rmSync(outside, { recursive: true, force: true });
    }
  });

  it("costs little where the directory has more names than anybody reads", { timeout: 180_000 }, async () => {
    const many = mkdtempSync(join(folder, "many-"));
    const bundle = await crash(["plain", "60000", many]);
    expect(bundle.manifest.core.complete).toBe(true);
    expect(bundle.manifest.composer.maxRssBytes).toBeLessThan(128 * 1024 * 1024);
    expect(bundle.manifest.problems.filter(({ code }) => code.startsWith("CDH_STACK"))).toEqual([]);
  });

  it("is not looked for when no such runtime was in the process", { timeout: 180_000 }, async () => {
    const other = join(folder, "server");
    copyFileSync(program, other);
    expect(artefactsOf(await crash([], other))).toEqual([]);
  });

  it("is the JVM's hs_err file, of a JVM", { timeout: 180_000 }, async (context) => {
    const reason = missingTools("java", "javac");
    if (reason !== undefined) skipAloud(context, reason);
    const classes = join(folder, "classes");
    mkdirSync(classes);
    execFileSync("javac", ["-nowarn", "-d", classes, "messages/Fault.java"], { cwd: SOURCES, stdio: "pipe" });
    const bundle = await crash(["-cp", classes, "-Xmx64m", "Fault"], "/usr/bin/java");
    const [name = ""] = artefactsOf(bundle);
    expect(name).toMatch(/^hs_err_pid\d+\.log$/);
    expect((await bundle.read(`-artefacts/${name}`)).toString()).toContain("A fatal error has been detected");
  });
});

describeUnless(kernelSuiteUnavailable(), "ARTEFACTS=off", () => {
  const suite = setUpKernel({ settings: { ARTEFACTS: "off" } });
  const folder = scratchDirectory("crash-artefacts-off");

  it("leaves them out, and not the stack", { timeout: 180_000 }, async () => {
    const { pid } = await runCrash(compile(folder), [], { cwd: folder });
    const bundle = await suite.composer.bundleOf(pid, 60_000);
    expect(artefactsOf(bundle)).toEqual([]);
    expect(bundle.manifest.threads?.[0]?.stack?.frames.length).toBeGreaterThan(0);
  });
});
