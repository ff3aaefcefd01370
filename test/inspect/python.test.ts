import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, globSync, realpathSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ThreadStack } from "../../packages/unwind/src/process/read-stacks.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";

const SCRIPT = join(REPOSITORY, "test/inspect/programs/python/waits.py");
const run = promisify(execFile);
const missing = notBuilt("cdh-inspect") ?? missingTools("gcore");

/** Interpreters of this machine, by version: Debian's own, and pyenv's. */
function interpreters(): Map<string, string> {
  const found = new Map<string, string>();
  const places = ["/usr/bin/python3", ...globSync(join(homedir(), ".pyenv/versions/3.*/bin/python3")).toSorted()];
  for (const path of places.filter((one) => existsSync(one))) {
    const text = execFileSync(path, ["--version"], { encoding: "utf8" });
    const version = /^Python (3\.(\d+)\.\d+)/.exec(text);
    if (version?.[1] !== undefined && Number(version[2]) >= 11 && !found.has(version[1]))
      found.set(version[1], realpathSync(path));
  }
  return found;
}

let place: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "cdh-python-"));
});
afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

async function takeCore(name: string, python: string): Promise<string> {
  const child = spawn(python, [SCRIPT], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.on("data", () => resolve());
      child.on("exit", () => reject(new Error(`${name} ended`)));
      setTimeout(() => reject(new Error(`${name} is not ready`)), 30_000).unref();
    });
    // It is ready before the last thread has begun to wait.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await run("gcore", ["-o", join(place, name), String(child.pid)], { timeout: 60_000 });
    return join(place, `${name}.${child.pid}`);
  } finally {
    child.kill("SIGKILL");
  }
}

interface Said {
  threads: ThreadStack[];
  notes: string[];
}

const pythonOf = ({ frames }: ThreadStack): string[] =>
  frames
    .filter(({ kind }) => kind === "python")
    .map(({ function: name = "", file, line }) => `${name.slice(name.lastIndexOf(".") + 1)} ${file}:${line}`);

async function framesByPystack(core: string, python: string): Promise<Map<number, string[]>> {
  const program = join(findTool("pystack").path ?? "", "bin/python3");
  const { stdout } = await run(program, ["-m", "pystack", "core", core, python], { timeout: 120_000 });
  const found = new Map<number, string[]>();
  let frames: string[] = [];
  for (const line of stdout.split("\n")) {
    const tid = /^Traceback for thread (\d+)/.exec(line)?.[1];
    if (tid !== undefined) found.set(Number(tid), (frames = []));
    const frame = /^ {4}\(Python\) File "(.*)", line (\d+), in (.*)$/.exec(line);
    // It writes names with letters beyond ASCII as zeros.
    if (frame !== null)
      frames.unshift(`${frame[3]?.startsWith("\0") === true ? "größe" : frame[3]} ${frame[1]}:${frame[2]}`);
  }
  return found;
}

describeUnless(missing, "frames of Python", () => {
  const known = missing === undefined ? [...interpreters()] : [];

  it.each(known.filter(([version]) => /^3\.1[123]\./.test(version)))(
    "stand where the interpreter's loop stood, Python %s",
    async (version, python) => {
      const core = await takeCore(version, python);
      const { stdout } = await runBuilt("cdh-inspect", ["bt", "--raw", core, "--exe", python, "-o", "json"]);
      const said = JSON.parse(stdout) as Said;
      expect(said.notes.filter((note) => note.includes("Python"))).toEqual([]);
      const names = said.threads.flatMap(({ frames }) => frames.map(({ function: name }) => name));
      expect(names).not.toContain("_PyEval_EvalFrameDefault");
      for (const name of ["größe", "Cart.total", "Cart.price", "handler", "items", "serves", "<module>"])
        expect(names).toContain(name);
      const main = said.threads.map(pythonOf).find((frames) => frames.at(-1)?.startsWith("<module>") === true);
      expect(main).toEqual([
        `sleeps ${SCRIPT}:10`,
        `descend ${SCRIPT}:15`,
        ...Array.from({ length: 20 }, () => `descend ${SCRIPT}:16`),
        `<module> ${SCRIPT}:71`,
      ]);
      if (findTool("pystack").path === undefined) return;
      const theirs = await framesByPystack(core, python);
      expect(theirs.size).toBe(6);
      for (const stack of said.threads)
        expect([stack.tid, pythonOf(stack)]).toEqual([stack.tid, theirs.get(stack.tid)]);
    },
    120_000,
  );

  it("have pystack to be held against, and three versions", (context) => {
    const others = ["3.11", "3.12", "3.13"].filter(
      (minor) => !known.some(([version]) => version.startsWith(`${minor}.`)),
    );
    const reasons = [
      others.map((minor) => `no Python ${minor} on this machine`),
      findTool("pystack").reason ?? [],
    ].flat();
    if (reasons.length > 0) skipAloud(context, reasons.join("; "));
    expect(known.length).toBeGreaterThan(2);
  });
});
