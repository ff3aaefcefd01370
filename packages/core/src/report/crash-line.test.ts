import { describe, expect, it } from "vitest";
import type { FrameFacts, Manifest } from "../bundle/manifest.ts";
import { crashHeadline, crashLine, crashPlace } from "./crash-line.ts";
import { shortFunction } from "./function-words.ts";

const frame = (name: string | undefined, more: Partial<FrameFacts> = {}): FrameFacts => ({
  pc: "0x1000",
  ...(name === undefined ? {} : { function: name }),
  ...more,
});

function crash(frames: FrameFacts[] | undefined, more: Partial<Manifest> = {}): Manifest {
  return {
    schemaVersion: 1,
    crashId: "c",
    bundle: "b.zip",
    crashedAt: "2026-11-30T00:00:00Z",
    composer: { version: "1" },
    node: {},
    process: {},
    signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: "0x10" },
    core: { entry: "c", compression: "zstd", sizeBytes: 1, storedBytes: 1, complete: true },
    threads: [
      { tid: 9, registers: { pc: "0x1" } },
      {
        tid: 7,
        crashed: true,
        registers: { pc: "0x12ce" },
        ...(frames === undefined ? {} : { stack: { frames, end: { kind: "outermost" } } }),
      },
    ],
    modules: [
      { path: "/opt/checkout", start: "0x1000", end: "0x2000" },
      { path: "/lib/libc.so.6", start: "0x3000", end: "0x4000" },
    ],
    problems: [],
    ...more,
  };
}

/** Ends a line, turns the direction of writing, begins a terminal's command. */
const FORGING = "pay\n[ok]\u202e\u009b2J";

const abort: Partial<Manifest> = { signal: { number: 6, name: "SIGABRT" } };

describe("crashLine", () => {
  it("names the function, its line and its callers", () => {
    const frames = [frame("pay", { file: "/src/pay.go", line: 41 }), frame("handle"), frame("main"), frame("_start")];
    expect(crashLine(crash(frames))).toBe("SIGSEGV (null pointer) in pay() at pay.go:41 ← handle() ← main()");
  });

  it("names the functions of a script, and the line that called into C", () => {
    const script = (name: string, line: number): FrameFacts =>
      frame(name, { kind: "python", file: "/app/app.py", line });
    const called = [
      frame("PyObject_Call"),
      script("handler.<locals>.<lambda>", 41),
      frame("_PyEval_Vector"),
      script("abort", 7),
    ];
    expect(crashLine(crash([frame("string_at", { file: "/src/ctypes.c", line: 9 }), ...called]))).toBe(
      "SIGSEGV (null pointer) in string_at() at ctypes.c:9 ← handler.<locals>.<lambda>() at app.py:41 ← abort()",
    );
    expect(crashLine(crash(called.slice(1)))).toBe(
      "SIGSEGV (null pointer) in handler.<locals>.<lambda>() at app.py:41 ← abort()",
    );
  });

  it.each<[string, FrameFacts[], string]>([
    [
      "an abort",
      [frame(undefined, { module: 1, offset: "0x8a" }), frame("raise"), frame("abort"), frame("check"), frame("main")],
      "SIGABRT in check() ← main()",
    ],
    [
      "an abort of a static program",
      [
        frame("__pthread_kill_implementation.constprop.0"),
        frame("abort"),
        frame("__assert_fail_base.cold"),
        frame("check.isra.0"),
        frame("main"),
      ],
      "SIGABRT in check.isra.0() ← main()",
    ],
    [
      "an assertion",
      [frame("__pthread_kill_implementation"), frame("__assert_fail"), frame("check"), frame("__libc_start_main_impl")],
      "SIGABRT in check()",
    ],
    [
      "an exception of C++",
      [
        frame("abort"),
        frame("__gnu_cxx::__verbose_terminate_handler()"),
        frame("__cxa_throw"),
        frame("shop::pay(int)"),
      ],
      "SIGABRT in shop::pay()",
    ],
    [
      "a panic of Rust",
      [
        frame("rust_panic"),
        frame("core::panicking::panic"),
        frame("<panic::Square as panic::Shape>::area"),
        frame("main"),
      ],
      "SIGABRT in <panic::Square as panic::Shape>::area() ← main()",
    ],
    [
      "a panic of Go",
      [
        frame("runtime.raise"),
        frame(undefined, { signal: true }),
        frame("runtime.sigpanic"),
        frame("main.(*node).sum"),
        frame("main.main"),
        frame("runtime.goexit"),
      ],
      "SIGABRT in main.(*node).sum() ← main.main()",
    ],
    [
      "what a libc without names starts",
      [frame("check"), frame("main"), frame(undefined, { module: 1, offset: "0x27" }), frame("_start")],
      "SIGABRT in check() ← main()",
    ],
    ["a recursion", [frame("walk"), frame("walk"), frame("walk"), frame("main")], "SIGABRT in walk() ← main()"],
    ["nothing but the runtime", [frame("runtime.futex"), frame("runtime.mcall")], "SIGABRT in runtime.futex()"],
  ])("leaves out what carries the failure: %s", (_name, frames, line) => {
    expect(crashLine(crash(frames, abort))).toBe(line);
  });

  it("keeps what a library's function was called for", () => {
    expect(crashLine(crash([frame("strlen", { module: 1 }), frame("pay")]))).toBe(
      "SIGSEGV (null pointer) in strlen() ← pay()",
    );
  });

  it("tells module and offset where there is no name, or no stack", () => {
    expect(crashLine(crash([frame(undefined, { module: 0, offset: "0x2ce" }), frame("main")]))).toBe(
      "SIGSEGV (null pointer) in checkout+0x2ce ← main()",
    );
    expect(crashLine(crash(undefined))).toBe("SIGSEGV (null pointer) in checkout+0x2ce");
    expect(crashLine({ ...crash([frame(undefined, { module: 7 })]), threads: [] })).toBe("SIGSEGV (null pointer)");
  });

  it("tells nothing of a restricted crash but its signal", () => {
    expect(crashLine(crash([frame("secret")], { restricted: true }))).toBe("SIGSEGV (null pointer)");
  });
});

describe("shortFunction", () => {
  it.each([
    ["shop::pay(shop::Cart<int, 4> const&)", "shop::pay"],
    ["std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back"],
    ["main.(*node).sum", "main.(*node).sum"],
    ["(anonymous namespace)::run(char**) const", "(anonymous namespace)::run"],
    ["std::ostream& std::operator<< <char>(std::ostream&, char)", "std::ostream& std::operator<< <char>"],
    ["<a::B as c::D>::e", "<a::B as c::D>::e"],
    ["core::ptr::drop_in_place::<alloc::string::String>", "core::ptr::drop_in_place"],
    ["f(void (*)(int))", "f"],
    ["odd<", "odd<"],
    ["operator()", "operator()"],
  ])("%s is %s", (given, short) => {
    expect(shortFunction(given)).toBe(short);
  });

  it("begins with what the program said, and says nothing of it of a restricted crash", () => {
    const message = { kind: "panic", text: "panic: no such cart", more: ["[more]"], source: "memory" };
    const frames = [frame("pay", { file: "/src/pay.go", line: 41 }), frame("main")];
    expect(crashLine(crash(frames, { message }))).toBe("panic: no such cart in pay() at pay.go:41 ← main()");
    expect(crashLine(crash(frames, { message, restricted: true }))).toBe("SIGSEGV (null pointer)");
    const long = crashLine(crash(frames, { message: { ...message, text: "panic: ".padEnd(5000, "x") } }));
    expect(long.length).toBeLessThan(220);
  });

  it("is printable and bounded, whatever the program's files and words are", () => {
    const hostile = crash(
      [frame(FORGING, { file: `/src/${FORGING}.c` }), frame(undefined, { module: 0, offset: FORGING })],
      {
        message: { kind: "panic", text: `panic: ${FORGING}`, source: "memory" },
        modules: [{ path: `/opt/${FORGING}`, start: "0x1000", end: "0x2000" }],
      },
    );
    for (const said of [crashLine(hostile), crashHeadline(hostile), crashPlace(hostile)]) {
      expect(said).toContain(String.raw`pay\x0a[ok]\u{202e}\x9b2J`);
      expect(said).not.toMatch(/[\n\u202e\u009b]/);
    }
    const long = crash([frame("pay", { file: `/${FORGING.repeat(1000)}` }), frame(FORGING.repeat(100))]);
    for (const said of [crashLine(long), crashHeadline(long), crashPlace(long)])
      expect(said?.length).toBeLessThanOrEqual(512);
    expect(crashLine({ ...long, signal: { number: 11, name: FORGING.repeat(1000) } }).length).toBeLessThanOrEqual(512);
  });
});
