import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AUDIENCE, expectSoon, startWorkbench, type Workbench } from "../api/workbench.ts";
import { notBuilt, outcomeOf, runBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findOnPath, missingTools } from "../helpers/tools.ts";
import { writeContexts } from "../plugin/api-server.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Where crashes of host processes are shown. */
const HOST = "core-dump-handler-host";
const PLUGIN = join(REPOSITORY, "dist/bin/kubectl-coredump");
/** The crashed thread of test/programs/threads.c. */
const STACK = /crash_here[^]*worker[^]*start_thread/;

describeUnless(
  kernelSuiteUnavailable("openssl") ?? notBuilt("cdh-api", "cdh-inspect", "cdh-upload"),
  "a crash of this kernel, from the store through cdh-api",
  () => {
    const suite = setUpKernel();
    let bench: Workbench;
    let env: Record<string, string>;
    let pid: number;
    let name: string;
    let bundle: Buffer;

    /** Ask as the developer does, in a directory that is empty at first. */
    const plugin = (args: string[], stdin?: string): Promise<BuiltResult> =>
      runPath(PLUGIN, args, {
        env,
        cwd: join(suite.scratch, "desk"),
        timeoutMs: 120_000,
        ...(stdin === undefined ? {} : { stdin }),
      });

    beforeAll(async () => {
      const crash = await runCrash(compileCrashPrograms().threads);
      ({ pid } = crash);
      const { path } = await suite.composer.bundleOf(pid);
      bundle = readFileSync(path);
      for (const folder of ["desk", "tmp"]) mkdirSync(join(suite.scratch, folder));
      bench = await startWorkbench(suite.scratch, {
        prepare: async () => {
          const args = ["sweep", "--core-dir", suite.composer.coreDir, "--store", `file://${suite.scratch}/store`];
          const swept = await runBuilt("cdh-upload", args);
          if (swept.exitCode !== 0) throw new Error(swept.stderr);
        },
      });
      bench.cluster.tokens.set("devs-token", { user: "dev", audiences: [AUDIENCE] });
      bench.cluster.grants = [
        { user: "dev", verbs: ["get", "list"], resources: ["coredumps"], namespaces: [HOST] },
        { user: "dev", verbs: ["get"], resources: ["coredumps/bundle", "coredumps/core"], namespaces: [HOST] },
      ];
      const kubeconfig = writeContexts(join(suite.scratch, "kubeconfig"), {
        dev: { port: bench.port, caFile: bench.cluster.ca.cert, user: { token: "devs-token" }, namespace: HOST },
      });
      env = {
        ...(process.env as Record<string, string>),
        KUBECONFIG: kubeconfig,
        HOME: suite.scratch,
        TMPDIR: join(suite.scratch, "tmp"),
        PATH: `${dirname(PLUGIN)}:${process.env["PATH"] ?? ""}`,
      };
      const listed = await plugin(["ls", "-q"]);
      name = listed.stdout.trim().split("/").at(-1) ?? "";
    }, 700_000);
    afterAll(() => bench?.[Symbol.asyncDispose]());

    it("ls and show tell what the kernel handed over", async () => {
      const shown = await plugin(["show", "-1"]);
      expect(outcomeOf(shown)).toBe("exit 0");
      expect(shown.stdout).toContain(`(pid ${pid}`);
      expect(shown.stdout).toContain("threads died of SIGSEGV");
      const threads = await plugin(["threads", "-1", "-o", "json"]);
      const { threads: listed } = JSON.parse(threads.stdout) as { threads: { tid: number }[] };
      expect(listed.length).toBe(8);
    });

    it("get brings the bundle and the core, byte by byte", async () => {
      expect(outcomeOf(await plugin(["get", "-1", "-o", "crash.zip"]))).toBe("exit 0");
      expect(readFileSync(join(suite.scratch, "desk/crash.zip")).equals(bundle)).toBe(true);
      const core = await plugin(["get", "-d", name, "-o", "core"]);
      expect(outcomeOf(core)).toBe("exit 0");
      expect(core.stderr + core.stdout).toContain("as the manifest says");
      const bytes = readFileSync(join(suite.scratch, "desk/core"));
      expect(bytes.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
    });

    it("bt prints the stacks, by gdb and without any debugger", async (context) => {
      const raw = await plugin(["bt", "-1", "--raw"]);
      expect([raw.exitCode, raw.stderr]).toEqual([expect.any(Number), expect.not.stringContaining("CDH_")]);
      expect(raw.stdout).toMatch(/threads\+0x[0-9a-f]+|crash_here/);
      const reason = missingTools("gdb");
      if (reason !== undefined) skipAloud(context, reason);
      const stacks = await plugin(["bt", "-1", "--with", "gdb"]);
      expect(outcomeOf(stacks)).toBe("exit 0");
      expect(stacks.stdout).toMatch(STACK);
      const byName = await runBuilt("cdh-inspect", ["bt", "--with", "gdb", `kube://${HOST}/${name}`], {
        env,
        timeoutMs: 120_000,
      });
      expect(outcomeOf(byName)).toBe("exit 0");
      expect(byName.stdout).toMatch(STACK);
    });

    it("debug opens gdb on the core, and takes the core away afterwards", async (context) => {
      const reason = missingTools("gdb");
      if (reason !== undefined) skipAloud(context, reason);
      const before = bench.logged("download").length;
      const opened = await plugin(["debug", "-1", "--with", "gdb"], "bt\nquit\n");
      expect(outcomeOf(opened)).toBe("exit 0");
      expect(opened.stdout).toMatch(STACK);
      await expectSoon("the downloads are in the audit log", () => bench.logged("download").length > before);
      expect(bench.logged("download").at(-1)).toMatchObject({ user: "dev", namespace: HOST, name });
      expect(readdirSync(env["TMPDIR"] ?? "")).toEqual([]);
    });

    it("the real kubectl finds the plugin, and cdh-inspect reads the same by its address", async (context) => {
      const kubectl = findOnPath("kubectl");
      if (kubectl.path === undefined) skipAloud(context, kubectl.reason);
      const shown = await runPath(kubectl.path ?? "", ["coredump", "show", name.slice(0, 12)], { env });
      expect(outcomeOf(shown)).toBe("exit 0");
      expect(shown.stdout).toContain("threads died of SIGSEGV");
      const verified = await runBuilt("cdh-inspect", ["verify", `kube://${HOST}/${name}`], { env });
      expect(outcomeOf(verified)).toBe("exit 0");
    });
  },
);
