import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Goroutine } from "../../packages/unwind/src/goroutines/read-goroutines.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs/goroutines");
const run = promisify(execFile);

/** The machine's own Go, and those whose modules were fetched: `GOTOOLCHAIN=go1.22.12 go version` does. */
const VERSIONS = ["1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.13", "1.25.7"];

const VARIANTS: Record<string, { flags: string[]; env?: Record<string, string> }> = {
  plain: { flags: [] },
  "stripped (-s -w)": { flags: ["-ldflags=-s -w"] },
  PIE: { flags: ["-buildmode=pie"] },
  "stripped PIE, -trimpath": { flags: ["-buildmode=pie", "-trimpath", "-ldflags=-s -w"] },
  cgo: { flags: [], env: { CGO_ENABLED: "1" } },
  "cgo, stripped PIE": { flags: ["-buildmode=pie", "-ldflags=-s -w"], env: { CGO_ENABLED: "1" } },
  race: { flags: ["-race"], env: { CGO_ENABLED: "1" } },
};

let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "cdh-goroutines-"));
});
afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

/** Builds the program, lets it wait, and takes a core of it. */
async function takeCore(name: string, toolchain: string, variant: keyof typeof VARIANTS): Promise<[string, string]> {
  const { flags = [], env = {} } = VARIANTS[variant] ?? {};
  const program = join(place, name);
  const own = { ...process.env, GOTOOLCHAIN: toolchain, GOFLAGS: "-buildvcs=false", CGO_ENABLED: "0", ...env };
  await run("go", ["build", ...flags, "-o", program, "."], { cwd: SOURCES, env: own });
  const child = spawn(program, { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const pid = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout.on("data", (bytes: Buffer) => {
        text += bytes.toString();
        const found = /ready (\d+)\n/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.on("exit", () => reject(new Error(`${name} ended: ${text}`)));
      setTimeout(() => reject(new Error(`${name} is not ready: ${text}`)), 30_000).unref();
    });
    await run("gcore", ["-o", `${program}.core`, pid], { timeout: 60_000 });
    return [program, `${program}.core.${pid}`];
  } finally {
    child.kill("SIGKILL");
  }
}

interface Said {
  version: string;
  goroutines: Goroutine[];
  notes: string[];
}

async function goroutinesOf(program: string, core: string, ...more: string[]): Promise<Said> {
  const { stdout, stderr } = await runBuilt("cdh-inspect", [
    "goroutines",
    core,
    "--exe",
    program,
    "-o",
    "json",
    ...more,
  ]);
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Said;
}

/** Functions with their lines; the first one's line is where it goes on, which delve shows, or where it waits. */
function framesOf({ stack }: Goroutine): string[] {
  return (stack?.frames ?? []).map(({ function: name, file, line }, index) =>
    index === 0 ? `${name}` : `${name} ${file}:${line}`,
  );
}

async function framesByDelve(program: string, core: string): Promise<Map<number, string[]>> {
  const init = `${core}.init`;
  await writeFile(init, "goroutines -t 60\nexit\n");
  const args = [
    "core",
    program,
    core,
    "--init",
    init,
    "--allow-non-terminal-interactive=true",
    "--check-go-version=false",
  ];
  const { stdout } = await run(findTool("dlv").path ?? "dlv", args, {
    // Delve shortens the paths of files below.
    cwd: place,
    maxBuffer: 64 * 1024 * 1024,
    timeout: 120_000,
  });
  const found = new Map<number, string[]>();
  let frames: string[] = [];
  // eslint-disable-next-line no-control-regex
  for (const line of stdout.replaceAll(/\u001b\[\d*m/g, "").split("\n")) {
    const id = /^[* ] Goroutine (\d+) - /.exec(line)?.[1];
    if (id !== undefined) found.set(Number(id), (frames = []));
    const name = /^\t *\d+ +0x[0-9a-f]+ in (.*)$/.exec(line)?.[1];
    if (name !== undefined) frames.push(name);
    const at = /^\t +at (.*)$/.exec(line)?.[1];
    if (at !== undefined && frames.length > 1) frames.push(`${frames.pop()} ${at}`);
  }
  // Goroutines of threads that C may start: they have never run.
  for (const [id, names] of found) if (names.length === 1 && names[0] === "runtime.goexit") found.delete(id);
  return found;
}

/** States that hold whatever the machine is busy with. */
function expectAllWaits({ goroutines }: Said): void {
  const counts: Record<string, number> = {};
  for (const { state, waitReason, stack } of goroutines) {
    const own = stack?.frames.find(({ function: name = "" }) => name.startsWith("main."))?.function ?? "-";
    const key = `${waitReason ?? state} in ${own}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  expect(counts).toMatchObject({
    "chan receive in main.(*pool).worker": 18,
    "select in main.selects": 1,
    "chan receive (nil chan) in main.main.func1": 1,
    "sleep in main.deep": 1,
    "IO wait in main.accepts": 1,
    "sleep in main.main": 1,
    "syscall in main.reads": 1,
  });
  expect(Object.keys(counts)).toContainEqual(expect.stringMatching(/^running in main\.spins|^runnable in main\.spins/));
  expect(Object.keys(counts)).toContainEqual(expect.stringMatching(/ in main\.\(\*pool\)\.locked$/));
  expect(Object.keys(counts)).toContainEqual(expect.stringMatching(/ in main\.\(\*pool\)\.waits$/));
}

const missing = notBuilt("cdh-inspect") ?? missingTools("go", "gcore", "gcc");

describeUnless(missing, "cdh-inspect goroutines", () => {
  const cache = missing === undefined ? execFileSync("go", ["env", "GOMODCACHE"], { encoding: "utf8" }).trim() : "";
  const known = VERSIONS.filter((version) =>
    globSync(join(cache, `golang.org/toolchain@v0.0.1-go${version}.linux-*`)).some((folder) => existsSync(folder)),
  );
  const cases = [
    ...Object.keys(VARIANTS).map((variant) => ["local", variant] as const),
    ...VERSIONS.flatMap((version) =>
      ["plain", "stripped PIE, -trimpath", "cgo"].map((variant) => [version, variant] as const),
    ),
  ];

  it("opens in delve, with the program that belongs to it", async (context) => {
    const { path: delve, reason } = findTool("dlv");
    if (delve === undefined) return skipAloud(context, reason ?? "no dlv");
    const [program, core] = await takeCore("delve", "local", "plain");
    const env = {
      HOME: process.env["HOME"] ?? "",
      TMPDIR: tmpdir(),
      PATH: `${dirname(delve)}:${process.env["PATH"] ?? ""}`,
    };
    const args = ["debug", "--with", "dlv", core, "--exe", program];
    const opened = await runBuilt("cdh-inspect", args, { env, stdin: "goroutines\nexit\n", timeoutMs: 120_000 });
    expect(opened.exitCode, opened.stderr).toBe(0);
    expect(opened.stdout).toMatch(/Goroutine \d+ - .* main\.spins/);
    const bare = await runBuilt("cdh-inspect", ["debug", "--with", "dlv", core], {
      env: { ...env, PATH: dirname(process.execPath) },
    });
    expect(bare).toMatchObject({ exitCode: expect.any(Number), stderr: expect.stringContaining("dlv is not on PATH") });
  }, 180_000);

  it.each(cases)(
    "reads those of Go %s, %s",
    async (version, variant) => {
      if (version !== "local" && !known.includes(version)) return;
      const toolchain = version === "local" ? "local" : `go${version}`;
      const [program, core] = await takeCore(`${version}-${variant.replaceAll(/\W+/g, "-")}`, toolchain, variant);
      const said = await goroutinesOf(program, core);
      expect(said.notes).toEqual([]);
      if (version !== "local") expect(said.version).toBe(`go${version}`);
      expectAllWaits(said);
      for (const { stack, id } of said.goroutines) expect([id, stack?.end.kind]).toEqual([id, "outermost"]);
      if (findTool("dlv").path === undefined || variant.includes("stripped")) return;
      const theirs = await framesByDelve(program, core);
      expect(said.goroutines.map(({ id }) => id).toSorted()).toEqual([...theirs.keys()].toSorted());
      for (const one of said.goroutines) {
        // Delve does not find the way out of the race detector.
        if (variant === "race" && one.state === "running") continue;
        const [ours, others] = [framesOf(one), theirs.get(one.id) ?? []];
        // Of one that is in C delve shows what it left behind in Go.
        const isInC = ours.some((frame) => frame.startsWith("runtime.asmcgocall"));
        const shown = (frame: string): boolean => !isInC || frame.startsWith("main.");
        expect([one.id, ours.filter(shown)]).toEqual([one.id, others.filter(shown)]);
      }
    },
    300_000,
  );

  it("has older versions of Go, and delve to compare with", (context) => {
    const others = VERSIONS.filter((version) => !known.includes(version)).map(
      (one) => `GOTOOLCHAIN=go${one} go version`,
    );
    const reasons = [
      others.length === 0 ? [] : `not fetched: ${others.join(", ")}`,
      findTool("dlv").reason ?? [],
    ].flat();
    if (reasons.length > 0) skipAloud(context, reasons.join("; "));
    expect(known).toEqual(VERSIONS);
  });
});
