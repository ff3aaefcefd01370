import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "@cdh/core/exec";
import { skipAloud } from "../../../../test/helpers/skip.ts";
import { makeTestNative } from "../testing/test-native.ts";
import { LOG_MAX_BYTES, openComposerLog, openKernelLog } from "./composer-log.ts";
import { NO_NATIVE } from "./no-native.ts";

const REPOSITORY = join(import.meta.dirname, "../../../..");
const BUN = join(REPOSITORY, ".cache/toolchain/bin/bun");

let hostDir: string;
beforeEach(() => {
  hostDir = mkdtempSync(join(tmpdir(), "cdh-log-"));
});
afterEach(() => rmSync(hostDir, { recursive: true, force: true }));
const log = (): string => join(hostDir, "composer.log");

describe("composer.log", () => {
  it("is made for its owner alone and appended to", () => {
    openComposerLog(hostDir, NO_NATIVE)("one\n");
    openComposerLog(hostDir, NO_NATIVE)("two\n");
    expect(readFileSync(log(), "utf8")).toBe("one\ntwo\n");
    expect(statSync(log()).mode & 0o777).toBe(0o600);
  });

  it("moves aside when it is full, and keeps one predecessor", () => {
    const write = openComposerLog(hostDir, makeTestNative());
    const line = `${"x".repeat(64 * 1024 - 1)}\n`;
    for (let count = 0; count < (2.5 * LOG_MAX_BYTES) / line.length; count += 1) write(line);
    const [now, before] = [statSync(log()).size, statSync(`${log()}.1`).size];
    expect(before).toBe(LOG_MAX_BYTES + line.length);
    expect(now).toBeLessThanOrEqual(LOG_MAX_BYTES + line.length);
  });

  it("goes on in the new file when another has moved the old one aside", () => {
    const native = makeTestNative();
    const [first, second] = [openComposerLog(hostDir, native), openComposerLog(hostDir, native)];
    first("x".repeat(LOG_MAX_BYTES + 1));
    second("late\n");
    second("after\n");
    expect(readFileSync(log(), "utf8")).toBe("after\n");
    expect(readFileSync(`${log()}.1`, "utf8").endsWith("late\n")).toBe(true);
  });

  it("waits a moment for the one that moves it aside, so that it gets a processor, and no longer", () => {
    let naps = 0;
    const busy = { ...makeTestNative(), nap: () => (naps += 1), tryLock: () => naps === 3 };
    openComposerLog(hostDir, busy)("x".repeat(LOG_MAX_BYTES + 1));
    expect([naps, existsSync(log()), existsSync(`${log()}.1`)]).toEqual([3, true, true]);
    const stuck = { ...busy, tryLock: () => false };
    openComposerLog(hostDir, stuck)("y".repeat(LOG_MAX_BYTES + 1));
    expect(naps).toBeGreaterThan(3);
    expect(naps).toBeLessThan(30);
    expect(statSync(log()).size).toBe(LOG_MAX_BYTES + 1);
  });

  it("that can't be written is given up: a link, a directory, a missing place", () => {
    symlinkSync(join(hostDir, "precious"), log());
    openComposerLog(hostDir, NO_NATIVE)("lost\n");
    expect(existsSync(join(hostDir, "precious"))).toBe(false);
    openComposerLog("/no/such/place", NO_NATIVE)("lost\n");
    openComposerLog("/dev/null", NO_NATIVE)("lost\n");
  });

  it("loses and tears no line among many writers", { timeout: 60_000 }, async (context) => {
    if (!existsSync(BUN)) skipAloud(context, "file locks need Bun, which `npm run bootstrap` sets up");
    const [writers, lines] = [6, 4_000];
    const script = join(hostDir, "write.ts");
    writeFileSync(
      script,
      `import { openComposerLog } from ${JSON.stringify(join(import.meta.dirname, "composer-log.ts"))};
       import { loadNative } from ${JSON.stringify(join(import.meta.dirname, "load-native.ts"))};
       const write = openComposerLog(${JSON.stringify(hostDir)}, await loadNative());
       for (let n = 0; n < ${lines}; n++) write(JSON.stringify({ writer: process.argv[2], n, fill: "x".repeat(250) }) + "\\n");`,
    );
    const runs = await Promise.all(
      Array.from({ length: writers }, (_, writer) => run(BUN, [script, String(writer)], { cwd: REPOSITORY })),
    );
    expect(runs.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual(
      runs.map(() => ({ exitCode: 0, stderr: "" })),
    );
    const text = readFileSync(`${log()}.1`, "utf8") + readFileSync(log(), "utf8");
    const seen = text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { writer: string; n: number });
    // About 7 MB: moved aside once, so nothing was dropped with an older predecessor.
    expect(seen.length).toBe(writers * lines);
    for (let writer = 0; writer < writers; writer += 1) {
      const own = seen.filter((line) => line.writer === String(writer)).map(({ n }) => n);
      expect(own).toEqual([...own].sort((a, b) => a - b));
    }
    expect(statSync(`${log()}.1`).size).toBeLessThan(LOG_MAX_BYTES + 64 * 1024);
  });
});

describe("the kernel's log", () => {
  it("gets at most three lines a crash, each one line of bounded length", async () => {
    const fifo = join(hostDir, "kmsg");
    expect((await run("mkfifo", [fifo])).exitCode).toBe(0);
    const reader = openSync(fifo, "r+");
    const write = openKernelLog(fifo);
    for (const text of ["one", "two\nline", "x".repeat(5000), "four"]) write(text);
    const buffer = Buffer.alloc(65_536);
    const lines = buffer.toString("utf8", 0, readSync(reader, buffer)).split("\n").slice(0, -1);
    closeSync(reader);
    expect(lines.slice(0, 2)).toEqual(["<5>cdc: one", "<5>cdc: two?line"]);
    expect(lines.length).toBe(3);
    expect(lines[2]?.length).toBeLessThan(900);
  });

  it("that is not there costs nothing", () => {
    expect(() => openKernelLog("/no/such/kmsg")("text")).not.toThrow();
  });
});
