import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { builtPath, notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { screenAfter } from "./screen.ts";
import { expectSoon, makeWorkbench, type Workbench } from "./workbench.ts";

/** Back to the first column and the line erased: how each state of the bar begins. */
const ERASE = "\r\u001b[K";
const MIB = 1024 ** 2;
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function bench(env: Record<string, string> = {}): Promise<Workbench> {
  const made = await makeWorkbench(env);
  open.push(made);
  made.env["STORE_URL"] = `file://${join(made.directory, "store")}`;
  delete made.env["LOG_FORMAT"];
  return made;
}

/** A program in a pseudo-terminal that script(1) makes, and what it has written there so far. */
interface Session {
  output(): string;
  /** Type something; `\u0003` is Ctrl-C. */
  type(text: string): void;
  ended: Promise<number | null>;
}

function onTerminal(
  work: Workbench,
  args: readonly string[],
  columns: number,
  env: Record<string, string> = {},
): Session {
  const command = `stty cols ${columns} rows 24; exec ${builtPath("cdh-upload")} ${args.join(" ")}`;
  const child = spawn(findTool("script").path ?? "script", ["-qec", command, "/dev/null"], {
    env: { ...work.env, TERM: "xterm-256color", SHELL: "/bin/sh", ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  open.push({ [Symbol.asyncDispose]: async () => void child.kill("SIGKILL") });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stdin.on("error", () => undefined);
  const ended = once(child, "close").then(([code]: unknown[]) => (typeof code === "number" ? code : null));
  return { output: () => output, type: (text) => child.stdin.write(text), ended };
}

/** The states of the bar, in order. */
function barsIn(output: string): string[] {
  return output
    .split(ERASE)
    .slice(1)
    .map((state) => state.replace(/[\r\n][^]*$/, ""))
    .filter((state) => /%/.test(state) || /bundles? {2}/.test(state));
}

describeUnless(notBuilt("cdh-upload") ?? findTool("script").reason, "cdh-upload sweep on a terminal", () => {
  it("draws a bar that moves, and leaves nothing of it", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "4M" });
    const bundles = [];
    for (let index = 0; index < 3; index += 1) bundles.push(await work.publish({ coreBytes: 3 * MIB }));
    const session = onTerminal(work, ["sweep"], 132);
    expect(await session.ended, session.output()).toBe(0);
    const bars = barsIn(session.output());
    expect(bars[0]).toMatch(/^3 bundles {2}\[\.{24}\] {3}0% {2}0 B of 9\.0 MiB/);
    const percents = bars.map((bar) => Number(/(\d+)%/.exec(bar)?.[1]));
    expect(new Set(percents).size).toBeGreaterThan(3);
    expect(bars.some((bar) => /\[#+\.+\] +\d+% {2}.* of 9\.0 MiB {2}.*\/s, .* left$/.test(bar))).toBe(true);
    const screen = screenAfter(session.output(), 132).join("\n");
    expect(screen).not.toMatch(/\[#*\.*\]|%/);
    for (const { fileName } of bundles) expect(screen).toContain(fileName);
    expect(screen).toMatch(/^3 uploaded to file:.*, 9\.0 MiB in /m);
    // A line of the log begins where a line begins, and nothing of the bar stands in it.
    const logged = screen.match(/^.*INFO {2}uploaded .*$/gm) ?? [];
    expect(logged.length).toBeGreaterThanOrEqual(3);
    for (const line of logged) expect(line).toMatch(/^\d{4}-\d{2}-\d{2}T/);
    expect(await work.spool()).toEqual([]);
  });

  it.each([30, 41, 60, 79])(
    "stays on one line of a terminal of %i columns, however long the names are",
    async (columns) => {
      const work = await bench({ BANDWIDTH_LIMIT: "4M", LOG_LEVEL: "error" });
      const name = `${"n".repeat(160)}-dump-1764000000-web-1-sleep-1-11`;
      await work.publish({ name, coreBytes: 12 * MIB });
      const session = onTerminal(work, ["sweep"], columns);
      expect(await session.ended, session.output()).toBe(0);
      const bars = barsIn(session.output());
      expect(bars.length).toBeGreaterThan(2);
      for (const bar of bars) {
        expect(bar.length).toBeLessThan(columns);
        expect(bar).toMatch(/^1 bundle {2}/);
      }
      // What wrapped could not be erased.
      const screen = screenAfter(session.output(), columns).join("\n");
      expect(screen).not.toMatch(/\[#*\.*\]|%/);
      expect(screen.replaceAll("\n", "")).toContain(name);
    },
  );

  describe("Ctrl-C", () => {
    it("ends it on a clean line, the bundle still there and nothing half-made in the store", async () => {
      const work = await bench({ BANDWIDTH_LIMIT: "1M" });
      const bundle = await work.publish({ coreBytes: 20 * MIB });
      const session = onTerminal(work, ["sweep"], 80);
      await expectSoon("the bar moves", () => /\[#+\.*\]/.test(session.output()));
      session.type("\u0003");
      expect(await session.ended, session.output()).toBe(130);
      const screen = screenAfter(session.output(), 80);
      expect(screen.join("\n")).not.toMatch(/\[#*\.*\]|\^C|%/);
      expect(screen.join("\n")).toContain("0 uploaded to file:");
      expect(screen.at(-1)).toBe("");
      expect(await work.spool()).toEqual([bundle.fileName]);
      const { stdout } = await runBuilt("cdh-upload", ["sweep", "-o", "json"], {
        env: { ...work.env, BANDWIDTH_LIMIT: "" },
      });
      expect(JSON.parse(stdout)).toMatchObject({ bundles: [{ status: "uploaded", alreadyThere: false }] });
    });

    it("pressed twice ends it at once", async () => {
      const work = await bench({ BANDWIDTH_LIMIT: "1M" });
      const bundle = await work.publish({ coreBytes: 20 * MIB });
      const session = onTerminal(work, ["run"], 80);
      const host = join(work.directory, "store/_host");
      await expectSoon("it sends", async () =>
        (await readdir(host).catch(() => [])).some((name) => name.endsWith(".partial")),
      );
      session.type("\u0003");
      await expectSoon("it finishes", () => session.output().includes("finishing uploads"));
      session.type("\u0003");
      expect(await session.ended).toBe(130);
      expect(await work.spool()).toEqual([bundle.fileName]);
    });
  });

  it("draws nothing on a terminal that knows only text", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "8M" });
    await work.publish({ coreBytes: 3 * MIB });
    const session = onTerminal(work, ["sweep"], 80, { TERM: "dumb" });
    expect(await session.ended).toBe(0);
    expect(session.output()).not.toContain("\u001b");
    expect(session.output()).toContain("1 uploaded to");
  });

  it("writes nothing of a bar into a pipe or a file", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "4M" });
    await work.publish({ coreBytes: 5 * MIB });
    const result = await runBuilt("cdh-upload", ["sweep"], { env: { ...work.env, TERM: "xterm-256color" } });
    expect(result.exitCode, result.stderr).toBe(0);
    // eslint-disable-next-line no-control-regex -- that none gets out is what is tested
    expect(result.stdout + result.stderr).not.toMatch(/[\r\u001b]|\[#*\.*\]|%/);
    for (const line of result.stderr.trimEnd().split("\n")) JSON.parse(line);
  });
});
