import { describe, expect, it } from "vitest";
import type { FrameFacts, Manifest } from "../bundle/manifest.ts";
import { crashKeys } from "./crash-keys.ts";

const MODULES: NonNullable<Manifest["modules"]> = [
  { path: "/opt/checkout", start: "0x1000", end: "0x2000", buildId: "aa" },
  { path: "/lib/libc.so.6", start: "0x3000", end: "0x4000", buildId: "cc" },
  { path: "/opt/libcart.so.1.4", start: "0x5000", end: "0x6000", buildId: "dd" },
  { path: "/usr/bin/python3.11", start: "0x7000", end: "0x8000", buildId: "ee" },
];
const MODULE = { own: 0, libc: 1, cart: 2, python: 3 } as const;

/** Write a frame as `module function offset`; `-` is unknown, and `signal` the kernel's frame. */
function frames(...lines: string[]): FrameFacts[] {
  return lines.map((line) => {
    if (line === "signal") return { pc: "0x1", signal: true };
    const [module = "", name = "-", offset = "0x10"] = line.split(" ");
    if (module.endsWith(".py")) {
      const script = { kind: "python", module: MODULE.python, offset: "0x500", file: `/app/${module}` };
      return { pc: "0x1", ...script, function: name, line: Number(offset) };
    }
    return {
      pc: "0x1",
      ...(module === "-" ? {} : { module: MODULE[module as keyof typeof MODULE], offset }),
      ...(name === "-" ? {} : { function: name }),
    };
  });
}

const keysOf = (...lines: string[]): ReturnType<typeof crashKeys> =>
  crashKeys({
    threads: [
      { tid: 1, registers: {}, stack: { frames: frames("own other"), end: { kind: "outermost" } } },
      { tid: 2, crashed: true, registers: {}, stack: { frames: frames(...lines), end: { kind: "outermost" } } },
    ],
    modules: MODULES,
  });

describe("signature", () => {
  it.each<[string, string[], string | undefined]>([
    ["a fault", ["own pay", "own handle", "own main"], "pay | handle @ checkout"],
    ["in libc", ["libc __memmove_avx_unaligned_erms", "own pay", "own main"], "pay | main @ checkout"],
    ["in a libc without names", ["libc -", "own pay", "own main"], "pay | main @ checkout"],
    [
      "an assertion",
      ["libc -", "libc raise", "libc abort", "libc __assert_fail", "own check", "own pay"],
      "assert | check | pay @ checkout",
    ],
    [
      "the heap",
      ["libc raise", "libc abort", "libc -", "libc free", "own drop", "own main"],
      "heap | drop | main @ checkout",
    ],
    ["recursion", ["own walk 0x1", "own walk 0x2", "own walk 0x2", "own main"], "walk | main @ checkout"],
    ["two that call each other", ["own a", "own b", "own a", "own b", "own main"], "a | b @ checkout"],
    ["a part of the function", ["own pay.part.0", "own pay", "own handle.isra.0"], "pay | handle @ checkout"],
    ["a thread of its own", ["own pay", "own worker", "libc start_thread", "libc clone3"], "pay | worker @ checkout"],
    ["nothing but a start", ["own main", "libc -", "libc __libc_start_main", "own _start"], "main @ checkout"],
    ["a library in versions", ["cart cart_add", "own pay"], "cart_add | pay @ libcart.so"],
    ["a call to nowhere", ["- -", "own dispatch", "own main"], "dispatch | main @ checkout"],
    [
      "a handler that raises again",
      ["libc raise", "own on_signal", "signal", "own pay", "own main"],
      "pay | main @ checkout",
    ],
    [
      "a handler that finds the thread waiting",
      ["own clean_up", "own on_term", "signal", "libc epoll_wait", "own loop"],
      "clean_up | on_term @ checkout",
    ],
    [
      "a handler that finds the thread waiting in a libc without names",
      ["own clean_up", "own on_term", "signal", "libc -", "libc -", "own loop"],
      "clean_up | on_term @ checkout",
    ],
    ["a handler of a fault in a libc without names", ["own on_fault", "signal", "libc -", "own pay"], "pay @ checkout"],
    [
      "a panic while another is handled",
      [
        "own runtime.gopanic",
        "own main.deferred",
        "own runtime.gopanic",
        "own main.pay",
        "own main.main",
        "own runtime.main",
      ],
      "panic | main.pay | main.main @ checkout",
    ],
    [
      "Go's fault",
      ["own runtime.raise", "own runtime.sigpanic", "own main.pay", "own runtime.goexit"],
      "fault | main.pay @ checkout",
    ],
    [
      "an extension of Python",
      ["cart cart_add", "python _PyEval_EvalFrameDefault", "python Py_RunMain"],
      "cart_add @ libcart.so",
    ],
    [
      "a function of Python that fails in the interpreter's own",
      ["libc memmove", "python PyObject_Vectorcall", "cart.py Cart.total 7", "cart.py abort 41", "python Py_RunMain"],
      "Cart.total | abort @ cart.py",
    ],
    ["no names", ["own -", "own -"], undefined],
    ["a caller's name alone", ["own -", "own main"], undefined],
    ["nothing but libc", ["libc raise", "libc abort"], undefined],
    ["nothing at all", [], undefined],
  ])("of %s", (_name, lines, signature) => {
    expect(keysOf(...lines).signature).toBe(signature);
  });
});

describe("site", () => {
  it("is 16 digits, and the same wherever the program was loaded", () => {
    const site = keysOf("own - 0x1135", "own - 0x2000").site;
    expect(site).toMatch(/^[\da-f]{16}$/);
    expect(keysOf("libc - 0x9", "own - 0x1135", "own - 0x2000", "libc - 0x7").site).toBe(site);
    expect(keysOf("own pay 0x1135", "own main 0x2000").site).toBe(site);
  });

  it("differs by caller, by place and by build", () => {
    const sites = [
      keysOf("own - 0x1", "own - 0x2"),
      keysOf("own - 0x1", "own - 0x3"),
      keysOf("own - 0x2", "own - 0x1"),
      keysOf("cart - 0x1", "own - 0x2"),
    ].map(({ site }) => site);
    expect(new Set(sites).size).toBe(4);
  });

  it("folds a recursion, however deep", () => {
    const deep = Array.from({ length: 40 }, () => "own - 0x20");
    expect(keysOf("own - 0x10", ...deep, "own - 0x30").site).toBe(
      keysOf("own - 0x10", "own - 0x20", "own - 0x30").site,
    );
  });

  it("is of the script's lines, not of the interpreter that runs them", () => {
    const site = keysOf("libc -", "cart.py total 7", "cart.py main 9", "python Py_RunMain").site;
    expect(site).toMatch(/^[\da-f]{16}$/);
    expect(keysOf("cart.py total 7", "cart.py main 9").site).toBe(site);
    expect(keysOf("cart.py total 8", "cart.py main 9").site).not.toBe(site);
    expect(keysOf("shop.py total 7", "shop.py main 9").site).not.toBe(site);
  });

  it("leaves out how a static program aborts, where that has names", () => {
    expect(keysOf("own raise 0x1", "own abort 0x2", "own pay 0x3").site).toBe(keysOf("own pay 0x3").site);
  });

  it("is unknown where all is libc's, or in no file", () => {
    expect(keysOf("libc raise", "libc abort", "- -")).toEqual({});
  });
});

it("what the manifest says is believed, and nothing is added to it", () => {
  expect(crashKeys({ site: "0011223344556677" })).toEqual({ site: "0011223344556677" });
  expect(crashKeys({})).toEqual({});
});

it("a hostile manifest costs no more than many frames do", () => {
  const names = ["(a", "<", "{lambda(", ".func1", "::{closure}", "[", "operator"].map((part) => part.repeat(50_000));
  const hostile = Array.from({ length: 20_000 }, (_, at): FrameFacts => ({
    pc: "0x1",
    module: 0,
    offset: "0x1",
    function: names[at % names.length] ?? "",
  }));
  const started = performance.now();
  crashKeys({
    threads: [{ tid: 1, registers: {}, stack: { frames: hostile, end: { kind: "limit" } } }],
    modules: MODULES,
  });
  expect(performance.now() - started).toBeLessThan(20_000);
});
