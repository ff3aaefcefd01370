import { describe, expect, it } from "vitest";
import type { ThreadStack } from "@cdh/unwind/process/read-stacks";
import { mergeStacks } from "./merge-stacks.ts";

const stack = (more: Partial<ThreadStack> = {}): ThreadStack => ({
  tid: 7,
  crashed: true,
  end: { kind: "outermost" },
  frames: [
    { pc: "0x1000", module: "/app", moduleOffset: "0x1000", function: "total", functionOffset: "0x4" },
    { pc: "0x1100", module: "/app", moduleOffset: "0x1100", function: "walk", functionOffset: "0x9", trust: "table" },
    { pc: "0x1100", module: "/app", moduleOffset: "0x1100", function: "walk", functionOffset: "0x9", trust: "table" },
    {
      pc: "0x2000",
      module: "/lib/libc.so.6",
      moduleOffset: "0x20",
      function: "start",
      functionOffset: "0x1",
      trust: "table",
    },
  ],
  ...more,
});

const HEAD = "Thread 1 (Thread 0x7f00 (LWP 7)):\n";

describe("mergeStacks", () => {
  it("takes the debugger's lines for the frames that it knows, and ours for the others", () => {
    const text = `${HEAD}#0  0x0000000000001000 in total (o=0x0) at a.c:4
#1  0x0000000000001100 in walk (n=2) at a.c:9
#2  0x0000000000001100 in walk (n=1) at a.c:9
#3  0x0000000000002000 in ?? () from /lib/libc.so.6
#4  0x0000000000000000 in ?? ()
`;
    expect(mergeStacks([stack()], "gdb", text)).toBe(`Thread 1 (Thread 0x7f00 (LWP 7)):
  #0   0x0000000000001000 in total (o=0x0) at a.c:4
  #1   0x0000000000001100 in walk (n=2) at a.c:9
  #2   0x0000000000001100 in walk (n=1) at a.c:9
  #3   0x2000             start+0x1  (libc.so.6+0x20)
`);
  });

  it("keeps frames that the debugger lost, and goes on with its next ones", () => {
    const text = `${HEAD}#0  0x0000000000001000 in total (o=0x0) at a.c:4
#1  0x0000000000002000 in start (main=0x1) at libc.c:1
`;
    const merged = mergeStacks([stack()], "gdb", text)?.split("\n");
    expect(merged?.slice(2, 5)).toEqual([
      "  #1   0x1100             walk+0x9  (app+0x1100)",
      "  #2   0x1100             walk+0x9  (app+0x1100)",
      "  #3   0x0000000000002000 in start (main=0x1) at libc.c:1",
    ]);
  });

  it("goes on with the debugger's frames where ours end early, up to the first that it does not know", () => {
    const text = `${HEAD}#0  0x0000000000001000 in total () at a.c:4
#1  0x0000000000003000 in caller () at b.c:5
#2  0x0000000000003100 in main () at b.c:9
#3  0x0000000000000005 in ?? ()
`;
    const frames = stack().frames.slice(0, 1);
    const cut = stack({
      frames,
      end: { kind: "noTable", address: "0x1000" },
      endsHere: "no unwind table for app+0x1000",
    });
    expect(mergeStacks([cut], "gdb", text)?.split("\n").slice(1, -1)).toEqual([
      "  #0   0x0000000000001000 in total () at a.c:4",
      "  #1   0x0000000000003000 in caller () at b.c:5",
      "  #2   0x0000000000003100 in main () at b.c:9",
    ]);
    expect(mergeStacks([cut], "gdb", `${HEAD}#0  0x0000000000001000 in total () at a.c:4\n`)).toContain(
      "  ends here: no unwind table for app+0x1000\n",
    );
  });

  it("numbers the frames behind those that are left out, with both ends of the debugger's lists", () => {
    const text = `${HEAD}#0  0x0000000000001000 in total () at a.c:4
#1  0x0000000000001100 in walk () at a.c:9
(More stack frames follow...)

Thread 1 (Thread 0x7f00 (LWP 7)):
#901 0x0000000000001100 in walk () at a.c:9
#902 0x0000000000002000 in start () at libc.c:1
`;
    const merged = mergeStacks([stack({ leftOut: { before: 2, count: 899 } })], "gdb", text);
    expect(merged?.split("\n").slice(2, 6)).toEqual([
      "  #1   0x0000000000001100 in walk () at a.c:9",
      "  … 899 frames left out",
      "  #901 0x0000000000001100 in walk () at a.c:9",
      "  #902 0x0000000000002000 in start () at libc.c:1",
    ]);
  });

  it("reads lldb's", () => {
    const text = `* thread #1, name = 'app', stop reason = signal SIGSEGV
  * frame #0: 0x0000000000001000 app\`total(o=0x0) at a.c:4:10
    frame #1: 0x0000000000001100 app\`walk(n=2) at a.c:9:3
`;
    expect(mergeStacks([stack()], "lldb", text)?.split("\n").slice(0, 4)).toEqual([
      "* thread #1, name = 'app', stop reason = signal SIGSEGV",
      "  #0   0x0000000000001000 app`total(o=0x0) at a.c:4:10",
      "  #1   0x0000000000001100 app`walk(n=2) at a.c:9:3",
      "  #2   0x1100             walk+0x9  (app+0x1100)",
    ]);
  });

  it("leaves a text alone that it does not understand", () => {
    expect(mergeStacks([stack()], "gdb", "Thread 1\n#0  main () at a.c:1\n")).toBeUndefined();
  });
});
