import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { parseCmdline, parseProcStatus, tryParseBootTime, tryParsePidfdInfo, tryParseProcStat } from "./proc-text.ts";

const TAIL = `R 7 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 1000 100`;

describe("tryParseProcStat", () => {
  it.each(["sh", "a) S 1 2", ")", "(", "x\ny) R 1", "", "my prog"])("is not misled by a process named %j", (comm) => {
    expect(tryParseProcStat(`42 (${comm}) ${TAIL}\n`)).toEqual({ pid: 42, ppid: 7, state: "R", startTicks: 123456 });
  });

  it.each(["", "42", "42 (x", "42 (x) R", "x (y) R 1", `42 (x) ${TAIL.replace("123456", "a")}`])(
    "refuses %j",
    (text) => {
      expect(tryParseProcStat(text)).toBeUndefined();
    },
  );

  it("reads this very process", () => {
    expect(tryParseProcStat(readFileSync("/proc/self/stat", "utf8"))).toMatchObject({
      pid: process.pid,
      ppid: process.ppid,
    });
  });
});

describe("parseProcStatus", () => {
  it("reads this very process", () => {
    const status = parseProcStatus(readFileSync("/proc/self/status", "utf8"));
    expect(status).toMatchObject({
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      coreDumping: false,
      hasMemory: true,
    });
  });

  it("takes no field out of a name, which the kernel escapes, and none that is missing", () => {
    expect(parseProcStatus("Name:\tx\\nUid:\\t0\nState:\tZ (zombie)\n")).toEqual({ state: "Z", hasMemory: false });
    expect(parseProcStatus("")).toEqual({ hasMemory: false });
  });
});

describe("small texts", () => {
  it("are read, or not", () => {
    expect(tryParsePidfdInfo("pos:\t0\nflags:\t02\nPid:\t4711\nNSpid:\t4711\n")).toBe(4711);
    expect(tryParsePidfdInfo("Pid:\t-1\n")).toBe(-1);
    expect(tryParsePidfdInfo("pos:\t0\n")).toBeUndefined();
    expect(tryParseBootTime("cpu 1\nbtime 1700000000\n")).toBe(1700000000);
    expect(tryParseBootTime("")).toBeUndefined();
    expect(parseCmdline(Buffer.from("a\0b c\0\0"))).toEqual(["a", "b c", ""]);
    expect(parseCmdline(Buffer.from("no end"))).toEqual(["no end"]);
    expect(parseCmdline(new Uint8Array())).toEqual([]);
  });

  it("are total", () => {
    let recognised = 0;
    for (let seed = 0; seed < 20_000; seed += 1) {
      const random = new SeededRandom(seed);
      const parts = ["Uid:\t", "Pid:\t", "btime ", "42 (", ") ", TAIL, "\n", "1", "-", "\0", "(", ")", "State:\t"];
      const text = Array.from({ length: random.integer(12) }, () => random.pick(parts)).join("");
      if (tryParseProcStat(text) !== undefined) recognised += 1;
      parseProcStatus(text);
      tryParsePidfdInfo(text);
      tryParseBootTime(text);
      parseCmdline(Buffer.from(text));
    }
    expect(recognised).toBeGreaterThan(10);
  });
});
