import { describe, expect, it } from "vitest";
import type { FrameFacts, ThreadFacts } from "../bundle/manifest.ts";
import { groupName, groupThreads } from "./equal-stacks.ts";

const modules = [{ path: "/opt/shop/checkout", start: "0x1000", end: "0x2000" }];

function thread(tid: number, names: readonly string[], more: Partial<ThreadFacts> = {}): ThreadFacts {
  const frames = names.map((name, index): FrameFacts => ({ pc: `0x${tid}${index}`, function: name }));
  return { tid, registers: {}, stack: { frames, end: { kind: "outermost" } }, ...more };
}

describe("groupThreads", () => {
  it("puts threads together that stand at the same place, called the same way; the crashed one first", () => {
    const idle = ["epoll_wait", "loop", "start_thread"];
    const threads = [
      ...[1, 2, 3].map((tid) => thread(tid, idle, { name: "worker" })),
      thread(4, ["pay(int)", "main"], { crashed: true, name: "checkout" }),
      thread(5, ["epoll_wait", "other", "start_thread"], { name: "a" }),
      thread(6, ["epoll_wait", "other", "start_thread"], { name: "b" }),
      thread(7, idle, { name: "worker" }),
      { tid: 8, registers: {} },
    ];
    const groups = groupThreads({ threads, modules });
    expect(groups.map((group) => [group.threads.map(({ tid }) => tid), groupName(group), group.stack])).toEqual([
      [[4], "checkout", "pay ← main"],
      [[1, 2, 3, 7], "worker", "epoll_wait ← loop ← start_thread"],
      [[5, 6], "a …", "epoll_wait ← other ← start_thread"],
      [[8], "", "-"],
    ]);
  });

  it("writes module and offset where there is no name, and both ends of a long stack", () => {
    const deep = Array.from({ length: 40 }, (_, index) => `f${index}`);
    const frames = [{ pc: "0x1", signal: true }, { pc: "0x1010", module: 0, offset: "0x10" }, { pc: "0xdead" }];
    const odd: ThreadFacts = { tid: 2, registers: {}, stack: { frames, end: { kind: "noTable" } } };
    expect(groupThreads({ threads: [thread(1, deep), odd], modules }).map(({ stack }) => stack)).toEqual([
      "f0 ← f1 ← f2 ← f3 ← f4 ← f5 ← … 32 more ← f38 ← f39",
      "<signal> ← checkout+0x10 ← 0xdead",
    ]);
  });

  it("tells stacks apart that differ where the line leaves frames out", () => {
    const deep = (middle: string): string[] => Array.from({ length: 40 }, (_, at) => (at === 20 ? middle : `f${at}`));
    expect(groupThreads({ threads: [thread(1, deep("a")), thread(2, deep("b"))] })).toHaveLength(2);
  });

  it("finds no groups where the node read no stacks", () => {
    expect(groupThreads({ threads: [{ tid: 1, registers: {} }] })).toEqual([]);
    expect(groupThreads({})).toEqual([]);
  });
});
