import { expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

it("who waits with many does not keep waiting who has one", async () => {
  const queue = new FairQueue(1);
  const order: string[] = [];
  const run = (share: string): Promise<void> =>
    queue.run(share, async () => {
      order.push(share);
      await Promise.resolve();
    });
  await Promise.all([..."aaaaaabc"].map(run));
  expect(order.join("")).toBe("aabcaaaa");
});

it("what fails gives its place to the next", async () => {
  const queue = new FairQueue(1);
  const failed = queue.run("a", () => Promise.reject(new Error("no")));
  const next = queue.run("a", () => Promise.resolve("yes"));
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("yes");
  expect(await queue.run("b", () => Promise.resolve("again"))).toBe("again");
});
