import { describe, expect, it } from "vitest";
import { Queue, type QueueItem } from "./queue.ts";

describe("Queue", () => {
  const item = (name: string, namespace: string, modifiedAt: number, pod = "pod"): QueueItem => ({
    file: { name, fileName: name, path: name, sizeBytes: 1, modifiedAt, changedAt: modifiedAt },
    lane: "default",
    namespace,
    pod,
    notBefore: 0,
    noticedAt: 0,
    failures: 0,
    running: false,
    reported: true,
  });
  const drain = (queue: Queue): string[] => {
    const order: string[] = [];
    for (let next = queue.take(0, "default"); next !== undefined; next = queue.take(0, "default")) {
      order.push(next.file.fileName);
      queue.remove(next.file.fileName);
    }
    return order;
  };

  it("lets namespaces take turns, the newest and the oldest of each alternately", () => {
    const queue = new Queue();
    for (let index = 0; index < 5; index += 1) queue.add(item(`loud-${index}`, "loud", index));
    queue.add(item("calm-0", "calm", 0));
    queue.add(item("calm-1", "calm", 1));
    expect(drain(queue)).toEqual(["loud-4", "calm-1", "loud-0", "calm-0", "loud-3", "loud-1", "loud-2"]);
  });

  it("lets the pods of a namespace take turns: what one wrote before is not behind another's newer ones", () => {
    const queue = new Queue();
    for (const index of [1, 2, 3]) queue.add(item(`calm-${index}`, "shop", index, `calm-${index}`));
    for (let index = 0; index < 494; index += 1) queue.add(item(`loud-${index}`, "shop", 100 + index, "loud"));
    const order = drain(queue);
    expect(order.slice(0, 4).toSorted()).toEqual(["calm-1", "calm-2", "calm-3", "loud-493"]);
    expect(order).toHaveLength(497);
  });

  it("within a pod never lets more newer ones before an old one than were older than that", () => {
    const queue = new Queue();
    for (let index = 0; index < 10; index += 1) queue.add(item(`old-${index}`, "shop", index, "loud"));
    const order: string[] = [];
    // The pod crashes as fast as its bundles are sent.
    for (let index = 0; index < 30; index += 1) {
      queue.add(item(`new-${index}`, "shop", 100 + index, "loud"));
      const next = queue.take(0, "default");
      order.push(next?.file.fileName ?? "none");
      queue.remove(next?.file.fileName ?? "");
    }
    expect(order.filter((name) => name.startsWith("old"))).toHaveLength(10);
    expect(order.indexOf("old-9")).toBeLessThanOrEqual(20);
  });

  it("gives a second slot to a pod that has none", () => {
    const queue = new Queue();
    for (let index = 0; index < 5; index += 1) queue.add(item(`loud-${index}`, "shop", 10 + index, "loud"));
    queue.take(0, "default");
    queue.take(0, "default");
    queue.add(item("calm", "shop", 0, "calm"));
    expect(queue.take(0, "default")?.file.fileName).toBe("calm");
  });

  it("gives a second slot to whoever has none", () => {
    const queue = new Queue();
    for (let index = 0; index < 5; index += 1) queue.add(item(`loud-${index}`, "loud", index));
    queue.take(0, "default");
    queue.take(0, "default");
    queue.add(item("calm", "calm", 0));
    expect(queue.take(0, "default")?.file.fileName).toBe("calm");
  });

  it("knows when the next one may begin", () => {
    const queue = new Queue();
    expect(queue.nextMoment("default")).toBeUndefined();
    queue.add({ ...item("a", "x", 1), notBefore: 500 });
    queue.add({ ...item("b", "x", 2), notBefore: 300 });
    expect(queue.nextMoment("default")).toBe(300);
    expect(queue.take(299, "default")).toBeUndefined();
    expect(queue.take(300, "default")?.file.fileName).toBe("b");
    expect(queue.nextMoment("default")).toBe(500);
  });
});
