import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundleFile } from "@cdh/core/bundle/reader";
import { makeRawZip, type RawZipEntry } from "@cdh/core/testing/raw-zip";
import { notBuilt, outcomeOf, runBuilt, type BuiltOptions, type BuiltResult } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const DEBUGGERS = ["gdb", "lldb"] as const;
const IMAGE = "localhost/cdh-crashed:1";
/** The crashed thread of test/programs/threads.c; what calls it is the C library's. */
const CRASHED = ["crash_here", "worker", "start_thread"];

describeUnless(kernelSuiteUnavailable() ?? notBuilt("cdh-inspect"), "cdh-inspect with real debuggers", () => {
  const suite = setUpKernel();
  /** Where the program lay when it crashed. */
  let program: string;
  let bundle: string;

  const inspect = (args: string[], options: BuiltOptions = {}): Promise<BuiltResult> =>
    runBuilt("cdh-inspect", args, { timeoutMs: 120_000, ...options });

  beforeAll(async () => {
    mkdirSync(join(suite.scratch, "app"));
    program = join(suite.scratch, "app/threads");
    copyFileSync(compileCrashPrograms().threads, program);
    const crash = await runCrash(program);
    bundle = (await suite.composer.bundleOf(crash.pid)).path;
  });

  it.for(DEBUGGERS)("%s prints every thread of a real crash, the crashed one first", async (name, context) => {
    const reason = missingTools(name);
    if (reason !== undefined) skipAloud(context, reason);
    const result = await inspect(["bt", "--with", name, bundle]);
    expect(outcomeOf(result)).toBe("exit 0");
    const stacks = stacksOf(result.stdout);
    expect(stacks[0]?.slice(0, 3)).toEqual(CRASHED);
    const { threads } = JSON.parse((await inspect(["threads", "-o", "json", bundle])).stdout) as { threads: unknown[] };
    expect(stacks).toHaveLength(threads.length);
    for (const stack of stacks) expect(stack.length).toBeGreaterThan(1);
  });

  it("takes program and libraries out of the crashed image through podman, for both debuggers", async (context) => {
    const reason = missingTools("podman", "gdb", "tar");
    if (reason !== undefined) skipAloud(context, reason);
    const env = { ...(process.env as Record<string, string>), ...podmanHome(suite.scratch) };
    const archive = makeRootFileSystem(suite.scratch, program);
    try {
      execFileSync("podman", ["import", "-q", archive, IMAGE], { env, stdio: "pipe" });
    } catch (error) {
      skipAloud(context, `podman cannot import an image here: ${String((error as { stderr?: Buffer }).stderr).trim()}`);
    }
    const crashedInImage = join(suite.scratch, "in-image.zip");
    writeFileSync(crashedInImage, await withImage(bundle));
    // What is on this machine must not help.
    renameSync(program, `${program}.away`);
    try {
      const without = await inspect(["bt", "--with", "gdb", crashedInImage], { env });
      expect(without.exitCode).toBe(3);
      expect(without.stdout).not.toContain("crash_here");
      for (const name of DEBUGGERS) {
        if (missingTools(name) !== undefined) continue;
        const stacks = await inspect(["bt", "--image", "--with", name, crashedInImage], { env });
        expect(outcomeOf(stacks)).toBe("exit 0");
        expect(stacksOf(stacks.stdout)[0]?.slice(0, 3)).toEqual(CRASHED);
        const opened = await inspect(["debug", "--image", "--with", name, crashedInImage], {
          env,
          stdin: "bt\nquit\n",
        });
        expect(opened.stdout).toMatch(/crash_here[^]*worker[^]*start_thread/);
        expect(opened.stderr).toContain(`podman run --rm -it --entrypoint sh -v "$PWD:/crash:ro" ${IMAGE}`);
      }
      // No container is left of it.
      expect(execFileSync("podman", ["ps", "-aq"], { env, encoding: "utf8" })).toBe("");
    } finally {
      renameSync(`${program}.away`, program);
    }
  }, 300_000);
});

/** Function names of each stack: a frame is a line of gdb's (`0x… in f (…)`), of lldb's (``0x… app`f(…)``) or of ours (`0x… f+0x9  (…)`). */
function stacksOf(text: string): string[][] {
  const stacks: string[][] = [];
  for (const line of text.split("\n")) {
    if (/^(?:Thread \d|\* thread #|thread #)/.test(line)) stacks.push([]);
    const name = functionIn(line);
    if (name !== undefined) stacks.at(-1)?.push(name);
  }
  return stacks;
}

function functionIn(line: string): string | undefined {
  return /^ {2}#\d+ +(?:0x[0-9a-f]+ +)?(?:in |[^ `]+`)?([\w.]+)(?:\+0x[0-9a-f]+)? *(?:\(| at | \+ )/.exec(line)?.[1];
}

/** Storage, cache and state of podman, below a directory that is removed afterwards. */
function podmanHome(scratch: string): Record<string, string> {
  const home = join(scratch, "podman");
  mkdirSync(home, { recursive: true });
  const storage = join(home, "storage.conf");
  writeFileSync(
    storage,
    `[storage]\ndriver = "vfs"\ngraphroot = ${JSON.stringify(join(home, "graph"))}\nrunroot = ${JSON.stringify(join(home, "run"))}\n`,
  );
  return { CONTAINERS_STORAGE_CONF: storage, XDG_CACHE_HOME: join(home, "cache") };
}

/** An image's root with one program and its libraries, under the loader's names (`/lib64/…`) and the kernel's (`/usr/lib/…`). */
function makeRootFileSystem(scratch: string, program: string): string {
  const root = join(scratch, "image");
  const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  for (const file of new Set([program, ...libraries, ...libraries.map((path) => realpathSync(path))])) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  execFileSync("tar", ["-cf", `${root}.tar`, "-C", root, "."]);
  return `${root}.tar`;
}

/** The same bundle, of a container that ran the image. */
async function withImage(path: string): Promise<Buffer> {
  const bundle = await openBundleFile(path);
  try {
    const entries: RawZipEntry[] = [];
    for (const entry of bundle.entries) {
      const data = await bundle.read(entry, { maxBytes: 64 * 1024 * 1024 });
      const isManifest = entry === bundle.findRole("manifest");
      const manifest = isManifest ? (JSON.parse(data.toString()) as Manifest) : undefined;
      const changed = { ...manifest, container: { id: "c".repeat(64), name: "app", imageRef: IMAGE } };
      entries.push({ name: entry.name, data: isManifest ? Buffer.from(JSON.stringify(changed)) : data });
    }
    return makeRawZip(entries);
  } finally {
    await bundle.close();
  }
}
