import { describe, expect, it } from "vitest";
import { messageOfAbort, messageOfLines, messageOfPanic, messageSearch } from "./crash-message.ts";

const ABORT = 6;
const SEGV = 11;

describe("messages in logs", () => {
  it.each<[string, string[], string, string, number?]>([
    [
      "an assertion",
      ["app: cart.c:41: pay: Assertion `cart != NULL' failed."],
      "assert",
      "app: cart.c:41: pay: Assertion `cart != NULL' failed.",
    ],
    [
      "musl's",
      ["Assertion failed: cart != NULL (cart.c: pay: 41)"],
      "assert",
      "Assertion failed: cart != NULL (cart.c: pay: 41)",
    ],
    ["Go's panic", ["panic: no such cart", "", "goroutine 1 [running]:"], "panic", "panic: no such cart"],
    ["Go's panic of a fault", ["panic: nil", "[signal SIGSEGV]"], "panic", "panic: nil", SEGV],
    ["Go's fatal error", ["fatal error: concurrent map writes"], "fatal", "fatal error: concurrent map writes"],
    [
      "Rust's panic",
      ["thread 'main' panicked at src/main.rs:4:5:", "no such cart", "note: run with `RUST_BACKTRACE=1`"],
      "panic",
      "thread 'main' panicked at src/main.rs:4:5: no such cart",
    ],
    [
      "Rust's panic with a thread's id",
      ["thread 'w' (71) panicked at src/main.rs:4:5:", "no such cart"],
      "panic",
      "thread 'w' (71) panicked at src/main.rs:4:5: no such cart",
    ],
    [
      "older Rust's panic",
      ["thread 'main' panicked at 'no such cart', src/main.rs:4:5"],
      "panic",
      "thread 'main' panicked at 'no such cart', src/main.rs:4:5",
    ],
    [
      "an exception in C++",
      ["terminate called after throwing an instance of 'std::runtime_error'", "  what():  no such cart"],
      "terminate",
      "terminate called after throwing an instance of 'std::runtime_error': what():  no such cart",
    ],
    ["a damaged heap", ["free(): invalid pointer"], "abort", "free(): invalid pointer"],
    ["colours", ["\u001b[31mpanic: red\u001b[0m"], "panic", "panic: red"],
    [
      "the JVM's",
      ["# A fatal error has been detected by the Java Runtime Environment:", "#", "#  SIGSEGV (0xb) at pc=0x1"],
      "fatal",
      "# A fatal error has been detected by the Java Runtime Environment: SIGSEGV (0xb) at pc=0x1",
    ],
    ["Python's", ["Fatal Python error: Segmentation fault"], "fatal", "Fatal Python error: Segmentation fault", SEGV],
  ])("are known: %s", (_what, lines, kind, text, signal = ABORT) => {
    expect(messageSearch(signal)?.weigh(lines[0] ?? "")).toBe(2);
    const message = messageOfLines(lines, signal);
    expect(message).toMatchObject({ kind, text, source: "log" });
    expect(message?.more ?? []).not.toContain("goroutine 1 [running]:");
  });

  it("have the lines that follow, up to what is none of them", () => {
    const lines = ["panic: a", "\tpanic: b", "[signal SIGSEGV]", "", "goroutine 1"];
    expect(messageOfLines(lines, ABORT)?.more).toEqual([" panic: b", "[signal SIGSEGV]"]);
  });

  it.each([
    ["a panic that a server survived", "2026/11/30 http: panic serving 10.0.0.1:4: no such cart", ABORT],
    ["a word that somebody wrote", "worker: don't panic: all is well", ABORT],
    ["an assertion before a fault", "app: a.c:1: f: Assertion `x' failed.", SEGV],
    ["a signal from outside", "panic: no", 3],
  ])("are not: %s", (_what, line, signal) => {
    expect(messageSearch(signal)?.weigh(line) ?? 0).toBe(0);
    expect(messageOfLines([line], signal)).toBeUndefined();
  });

  it("say less when Rust only says that it ends", () => {
    expect(messageSearch(ABORT)?.weigh("fatal runtime error: failed to initiate panic, error 5")).toBe(1);
  });
});

describe("hostile messages", () => {
  it.each([
    ["assertions", "Assertion `fail "],
    ["panics", "' panicked at x:y ", "thread 'x"],
  ])("of %s take time as long as the line", (_, repeated, begin = "") => {
    const { weigh } = messageSearch(ABORT) ?? {};
    const timeOf = (length: number): number => {
      const line = `${begin}${repeated.repeat(length)}`.slice(0, length);
      const times = Array.from({ length: 20 }, () => {
        const startedAt = performance.now();
        for (let at = 0; at < 10; at += 1) weigh?.(line);
        return performance.now() - startedAt;
      });
      return Math.min(...times);
    };
    timeOf(512);
    // Eight times as long; what grows with the square takes 64 times as long.
    expect(timeOf(4096)).toBeLessThan(24 * timeOf(512));
  });

  it.each([messageOfAbort, messageOfPanic])("are bounded and printable", (make) => {
    const message = make(`a\u001b]0;x\u0007\r\u2028\ud800\n${"\u2029\u202e\n".repeat(1000)}${"z".repeat(100_000)}`);
    const lines = [message?.text ?? "", ...(message?.more ?? [])];
    expect(lines.join("")).toMatch(/^[\u0020-\u007e\u00a0-\u200a\ufffd]+$/);
    expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(8192);
  });

  it("of nothing are none", () => {
    expect(messageOfPanic("")).toBeUndefined();
    expect(messageOfAbort("\n")).toBeUndefined();
    expect(messageOfLines([], ABORT)).toBeUndefined();
  });
});
