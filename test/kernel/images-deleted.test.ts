import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { crashPodTaken, madeUid, startCrashPod, type CrashPod } from "../helpers/crash-containers.ts";
import { containerdUnavailable } from "../helpers/real-containerd.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const SOURCE = join(REPOSITORY, "test/inspect/programs/frames.c");
const COMMON = ["-w", "-fno-optimize-sibling-calls"];

/** One image: how its program is built, and what is done to it before it is delivered. */
interface Image {
  flags: readonly string[];
  compiler?: "gcc" | "g++";
  /** What CI pushes of it: its debug info, or the package of its split debug info. */
  pushed?: "debug" | "dwp";
  /** Without debug info a debugger has functions only. */
  shows: "lines" | "functions";
}

const IMAGES: Readonly<Record<string, Image>> = {
  o0: { flags: ["-O0", "-g"], shows: "lines" },
  o1: { flags: ["-O1", "-g"], shows: "lines" },
  o2: { flags: ["-O2", "-g"], shows: "lines" },
  o3: { flags: ["-O3", "-g"], shows: "lines" },
  os: { flags: ["-Os", "-g"], shows: "lines" },
  g3: { flags: ["-O1", "-g3"], shows: "lines" },
  dwarf4: { flags: ["-O1", "-gdwarf-4"], shows: "lines" },
  compressed: { flags: ["-O1", "-g", "-gz"], shows: "lines" },
  lto: { flags: ["-O1", "-g", "-flto"], shows: "lines" },
  fp: { flags: ["-O1", "-g", "-fno-omit-frame-pointer"], shows: "lines" },
  nopie: { flags: ["-O1", "-g", "-no-pie"], shows: "lines" },
  static: { flags: ["-O1", "-g", "-static"], shows: "lines" },
  staticpie: { flags: ["-O1", "-g", "-static-pie", "-fPIE"], shows: "lines" },
  cpp: { flags: ["-x", "c++", "-O1", "-g"], compiler: "g++", shows: "lines" },
  stripped: { flags: ["-O1", "-g"], pushed: "debug", shows: "lines" },
  split: { flags: ["-O1", "-gdwarf-4", "-gsplit-dwarf"], pushed: "dwp", shows: "lines" },
  bare: { flags: ["-O1"], shows: "functions" },
  bare2: { flags: ["-O2"], shows: "functions" },
  barenopie: { flags: ["-O1", "-no-pie"], shows: "functions" },
  barestatic: { flags: ["-O1", "-static"], shows: "functions" },
};

describeUnless(
  kernelSuiteUnavailable() ??
    containerdUnavailable() ??
    notBuilt("cdh-upload", "cdh-inspect") ??
    missingTools("gcc", "g++", "gdb", "objcopy", "dwp") ??
    crashPodTaken(),
  "crashes of containers whose images are deleted",
  () => {
    const suite = setUpKernel({ settings: { IGNORE_CRIO: "false", RLIMIT_CORE: "ignore", METADATA_TIMEOUT: "5" } });
    let pod: CrashPod;
    let store: string;
    let ci: string;
    let home: string;

    const run = (program: "cdh-upload" | "cdh-inspect", ...args: string[]): Promise<BuiltResult> =>
      runBuilt(program, args, {
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home,
          CORE_DIR: suite.composer.coreDir,
          STORE_URL: `file://${store}`,
          KUBERNETES_EVENTS: "false",
        },
        timeoutMs: 300_000,
      });
    const imageOf = (name: string): string => join(pod.programs, name, "server");
    /** Build an image's program into the pod's file system, and what CI keeps of it beside the containers. */
    const build = (name: string, { flags, compiler = "gcc", pushed }: Image): void => {
      const [folder, work] = [join(pod.programs, name), join(ci, name)];
      for (const one of [folder, work]) mkdirSync(one, { recursive: true });
      const buildId = createHash("sha1").update(name).digest("hex");
      const at = join(work, "server");
      execFileSync(compiler, [...COMMON, ...flags, `-Wl,--build-id=0x${buildId}`, "-o", at, SOURCE], { cwd: work });
      if (pushed === "debug") {
        execFileSync("objcopy", ["--only-keep-debug", at, `${at}.debug`]);
        execFileSync("objcopy", ["--strip-all", at]);
      } else if (pushed === "dwp") execFileSync("dwp", ["-e", at, "-o", `${at}.dwp`], { cwd: work });
      execFileSync("cp", [at, imageOf(name)]);
    };
    const crash = async (name: string, container = name): Promise<void> => {
      await pod.crash({ name: container, command: [join("/programs", name, "server")] });
      // It packs last.
      const end = Date.now() + 300_000;
      while (suite.composer.running().length > 0 && Date.now() < end) await delay(50);
    };
    /** Every file that the store keeps of programs, with size and time. */
    const kept = (): string =>
      execFileSync("find", [join(store, "debug"), "-type", "f", "-printf", "%p %s %T@\n"], { encoding: "utf8" });

    beforeAll(async () => {
      store = join(suite.scratch, "store");
      ci = join(suite.scratch, "ci");
      home = join(suite.scratch, "home");
      for (const one of [store, ci, home]) mkdirSync(one);
      pod = await startCrashPod(suite.composer, { namespace: "shop", name: "web-0", uid: madeUid() });
      for (const [name, image] of Object.entries(IMAGES)) build(name, image);
    }, 300_000);
    afterAll(async () => {
      await pod?.[Symbol.asyncDispose]();
    }, 60_000);

    it("are twenty, of one build each", async () => {
      for (const name of Object.keys(IMAGES)) await crash(name);
      expect(outcomeOf(await run("cdh-upload", "sweep"))).toBe("exit 0");
      expect(readdirSync(join(store, "shop")).filter((name) => name.endsWith(".zip"))).toHaveLength(20);
    }, 600_000);

    it("send nothing of an image that crashes again", async () => {
      const before = kept();
      await crash("o1", "again");
      const sent = await run("cdh-upload", "sweep", "--log-level", "info", "--log-format", "json");
      expect(outcomeOf(sent)).toBe("exit 0");
      // Not a byte more, and nothing written anew.
      expect(kept()).toBe(before);
      expect(sent.stderr).not.toContain("file of a program");
      expect(readdirSync(join(store, "shop")).filter((name) => name.endsWith(".zip"))).toHaveLength(21);
    }, 300_000);

    it("open in Debian's gdb, offline, with what was built in", async () => {
      for (const [name, { pushed }] of Object.entries(IMAGES)) {
        if (pushed === undefined) continue;
        const at = join(ci, name, "server");
        const push = await run("cdh-inspect", "symbols", "push", "--store", store, at, `${at}.${pushed}`);
        // The node has stored the program before, which is no conflict.
        expect(push.exitCode, push.stdout + push.stderr).toBe(0);
      }
      rmSync(ci, { recursive: true });
      rmSync(pod.programs, { recursive: true });
      const failed: string[] = [];
      const seen = new Set<string>();
      for (const file of readdirSync(join(store, "shop")).filter((one) => one.endsWith(".zip"))) {
        const bundle = join(store, "shop", file);
        const shown = JSON.parse((await run("cdh-inspect", "show", "-o", "json", bundle)).stdout) as {
          manifest: { process: { exe: string } };
          opensWith: { modules: { debuginfo?: boolean; executable?: boolean }[] };
        };
        const name = shown.manifest.process.exe.split("/").at(-2) ?? "";
        const { shows, pushed } = IMAGES[name] ?? { shows: "lines" };
        seen.add(name);
        const folder = join(suite.scratch, "offline");
        const written = await run("cdh-inspect", "unpack", "--with-binaries", bundle, folder);
        expect(written.exitCode, `${name}: ${written.stderr}`).toBe(0);
        const { stdout } = spawnSync("gdb", ["-nx", "-batch", "-x", "gdbinit", "-ex", "bt"], {
          cwd: folder,
          encoding: "utf8",
          env: { PATH: process.env["PATH"] ?? "", HOME: home },
        });
        const names = ["frame_five", "frame_four", "frame_three", "frame_two", "frame_one", "main"];
        const isRight =
          names.every((one) => new RegExp(`^#\\d .*\\b${one}\\b`, "m").test(stdout)) &&
          (shows === "functions" || /frame_three ?\(.*where=.*\) at .*frames\.c:6/.test(stdout)) &&
          shown.opensWith.modules[0]?.executable === true &&
          shown.opensWith.modules[0].debuginfo === (shows === "lines");
        const isWhole = pushed !== "dwp" || existsSync(join(folder, "program.dwp"));
        if (!isRight || !isWhole) failed.push(`${name}: ${JSON.stringify(shown.opensWith.modules[0])}\n${stdout}`);
        rmSync(folder, { recursive: true });
      }
      expect(failed.join("\n")).toBe("");
      expect([...seen].toSorted()).toEqual(Object.keys(IMAGES).toSorted());
    }, 600_000);
  },
);
