import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import {
  parseCmdline,
  parseProcStatus,
  tryParseBootTime,
  tryParseMapsLine,
  tryParsePidfdInfo,
  tryParseProcStat,
} from "./proc-text.ts";

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

  it.each(["\r", "\v", "\f", "\u0085", "\u2028", "\u2029", "\\n", "\r\\n", " ", "\t", ""])(
    "takes no field out of a name that breaks its line with %j",
    (separator) => {
      const name = ["x", "CoreDumping:\t1", "Uid:\t7\t7\t7\t7", "Gid:\t8", "VmSize:\t1 kB", "State:\tR"].join(
        separator,
      );
      const rest = "State:\tS (sleeping)\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCoreDumping:\t0\n";
      const expected = { uid: 0, gid: 0, state: "S", coreDumping: false, hasMemory: false };
      expect(parseProcStatus(`Name:\t${name}\n${rest}`)).toEqual(expected);
      expect(parseProcStatus(`Name:\t${separator}CoreDumping:\t1\n${rest}`)).toEqual(expected);
      expect(tryParsePidfdInfo(`pos:\t0${separator}Pid:\t7\nPid:\t4711\n`)).toBe(4711);
      expect(tryParseBootTime(`cpu ${separator}btime 7\nbtime 1700000000\n`)).toBe(1700000000);
    },
  );

  it("takes the first line for the name, whatever it looks like", () => {
    expect(parseProcStatus("CoreDumping:\t1\nUid:\t5\t5\t5\t5\n")).toEqual({ uid: 5, hasMemory: false });
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
    expect(parseCmdline(Buffer.alloc(4 * 1024 * 1024)).length).toBeLessThan(10_000);
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

describe("a line of maps", () => {
  it("is a file's mapping with its rights, its path as bytes and newlines put back", () => {
    const text =
      "7f2a4c021000-7f2a4c022000 r-xp 00001000 08:01 4711                       /srv/a\\012b/caf\u00e9 (deleted)";
    expect(tryParseMapsLine(Buffer.from(text).toString("latin1"))).toEqual({
      path: "/srv/a\nb/caf\u00e9 (deleted)",
      start: 0x7f2a4c021000n,
      end: 0x7f2a4c022000n,
      fileOffset: 0x1000n,
      flags: 5,
    });
    expect(tryParseMapsLine("00400000-00401000 ---s 00000000 00:0e 1 /x")?.flags).toBe(0);
  });

  it.each([
    "",
    "7f2a4c021000-7f2a4c022000 rw-p 00000000 00:00 0",
    "7f2a4c021000-7f2a4c022000 rw-p 00000000 00:00 0                          [heap]",
    "7f2a4c021000-7f2a4c022000 rw-s 00000000 00:0e 1                          anon_inode:[io_uring]",
    "7f2a4c021000 r-xp 00001000 08:01 4711 /x",
    "17f2a4c0210000000-7f2a4c022000 r-xp 00001000 08:01 4711 /x",
  ])("is none of a file: %j", (line) => {
    expect(tryParseMapsLine(line)).toBeUndefined();
  });
});
