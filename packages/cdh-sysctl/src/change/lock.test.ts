import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NAMES } from "../node/target-node.ts";
import { makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { takeLock } from "./lock.ts";

let node: FakeNode;
let path: string;
beforeEach(() => {
  node = makeFakeNode();
  mkdirSync(node.hostDir);
  path = join(node.hostDir, NAMES.lock);
});
afterEach(() => node.remove());

describe("takeLock", () => {
  it("lets one in at a time, and leaves nothing behind", async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const lock = await takeLock(node, 20_000);
        inside += 1;
        most = Math.max(most, inside);
        await node.clock.sleep(5);
        inside -= 1;
        lock.release();
      }),
    );
    expect(most).toBe(1);
    expect(readdirSync(node.hostDir)).toEqual([]);
  });

  it("says who holds it when it waits in vain", async () => {
    const lock = await takeLock(node, 0);
    await expect(takeLock(node, 150)).rejects.toMatchObject({
      code: "CDH_DEADLINE",
      message: expect.stringContaining(`pid ${process.pid}`) as string,
    });
    lock.release();
  });

  it("takes over from a holder that is gone: another boot, another process with that pid, garbage", async () => {
    const first = await takeLock(node, 0);
    const mine = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    first.release();
    for (const stale of [
      JSON.stringify({ ...mine, bootId: "another" }),
      JSON.stringify({ ...mine, startTicks: "1" }),
      JSON.stringify({ ...mine, pid: 2 ** 22 + 1 }),
      "",
      "{",
      "null",
    ]) {
      writeFileSync(path, stale);
      (await takeLock(node, 0)).release();
    }
    expect(readdirSync(node.hostDir)).toEqual([]);
  });

  it("judges a holder in another pid namespace by how long it has been silent", async () => {
    const first = await takeLock(node, 0);
    const foreign = JSON.stringify({ ...(JSON.parse(readFileSync(path, "utf8")) as object), pidNamespace: "pid:[1]" });
    first.release();
    writeFileSync(path, foreign);
    await expect(takeLock(node, 0)).rejects.toMatchObject({ code: "CDH_DEADLINE" });
    const longAgo = node.clock.now() / 1000 - 120;
    utimesSync(path, longAgo, longAgo);
    (await takeLock(node, 0)).release();
  });

  it("does not release a lock that is another's by now", async () => {
    const lock = await takeLock(node, 0);
    writeFileSync(path, "somebody else");
    lock.release();
    expect(readFileSync(path, "utf8")).toBe("somebody else");
  });
});
