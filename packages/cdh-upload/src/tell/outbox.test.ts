import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Clock } from "@cdh/core/clock";
import { createLogger } from "@cdh/core/log";
import { Outbox, type Delivery } from "./outbox.ts";

/** A clock whose waits are over at once. */
function quickClock(): Clock & { at: number } {
  const clock = {
    at: 0,
    now: () => clock.at,
    monotonic: () => clock.at,
    sleep: async (ms: number) => {
      clock.at += ms;
      await turn();
    },
  };
  return clock;
}

function makeBox(send: (message: string, at: number) => Delivery["status"], maxAgeMs = 24 * 3600e3) {
  const clock = quickClock();
  const said: string[] = [];
  const log = createLogger({ program: "x", level: "info", format: "text", clock, write: (line) => said.push(line) });
  const outbox = new Outbox<string>({
    receiver: "webhook",
    clock,
    log,
    maxAgeMs,
    send: async (message) => {
      await turn();
      const status = send(message, clock.at);
      return status === "later" ? { status, reason: "away" } : { status };
    },
  });
  return { outbox, clock, said };
}

describe("Outbox", () => {
  it("delivers everything, in order, once an hour without the receiver is over", async () => {
    const sent: string[] = [];
    const { outbox, said } = makeBox((message, at) => {
      if (at < 3600e3) return "later";
      sent.push(message);
      return "done";
    });
    for (let index = 0; index < 5; index += 1) outbox.add(`m${index}`);
    await expect.poll(() => sent.length).toBe(5);
    expect(sent.toSorted()).toEqual(["m0", "m1", "m2", "m3", "m4"]);
    expect(said.map((line) => line.replace(/^\S+ /, ""))).toEqual([
      'WARN  cannot deliver messages; they wait receiver="webhook" reason="away"\n',
      expect.stringContaining("messages are delivered again"),
    ]);
  });

  it("lets others pass a message that the receiver chokes on", async () => {
    const sent: string[] = [];
    const { outbox } = makeBox((message) => {
      if (message === "bad") return "later";
      sent.push(message);
      return "done";
    });
    for (const message of ["bad", "a", "b", "c"]) outbox.add(message);
    await expect.poll(() => sent).toEqual(["a", "b", "c"]);
    outbox.close();
  });

  it("drops what is refused at once, and what waited too long", async () => {
    const tried: string[] = [];
    const { outbox, said } = makeBox((message) => {
      tried.push(message);
      return message === "refused" ? "refused" : "later";
    }, 60_000);
    outbox.add("refused");
    outbox.add("late");
    await expect.poll(() => said.join("")).toContain("waited for too long");
    expect(tried.filter((message) => message === "refused")).toHaveLength(1);
    outbox.close();
    expect(said.join("")).not.toContain("not delivered before the end");
  });

  it("is bounded, and says so once", async () => {
    const { outbox, said } = makeBox(() => "later");
    for (let index = 0; index < 1500; index += 1) outbox.add(`m${index}`);
    outbox.close();
    expect(said.filter((line) => line.includes("too many"))).toHaveLength(1);
    expect(said.at(-1)).toContain("messages=1000");
    await outbox.settle();
  });

  it("gives each one more try at the end, and says what is lost", async () => {
    const tried: string[] = [];
    const { outbox, said } = makeBox((message) => {
      tried.push(message);
      return "later";
    });
    for (const message of ["a", "b", "c"]) outbox.add(message);
    await outbox.settle();
    expect([...new Set(tried)].toSorted()).toEqual(["a", "b", "c"]);
    outbox.close();
    expect(said.at(-1)).toContain("messages=3");
  });
});
