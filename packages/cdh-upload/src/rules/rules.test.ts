import { describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { silentLogger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { RenewedStore, type Opened } from "./renewed-store.ts";
import { matches } from "./routes.ts";

describe("matches", () => {
  it.each([
    ["team-a", "team-a", true],
    ["team-a", "team-ab", false],
    ["*", "team-a", true],
    ["team-*", "team-", true],
    ["team-*", "team-a-b", true],
    ["team-*", "tea", false],
    ["*-prod", "shop-prod", true],
    ["*-prod", "shop-prod-2", false],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-c-b", false],
    ["ab*ba", "aba", false],
    ["a*ab*b", "aab", false],
    ["a**b", "ab", true],
  ])("%s and %s: %s", (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  it("takes no longer for many stars", () => {
    const started = performance.now();
    expect(matches("*a".repeat(31), "a".repeat(62) + "b")).toBe(false);
    expect(performance.now() - started).toBeLessThan(100);
  });
});

describe("RenewedStore", () => {
  /** A store of which only what is asked here is there. */
  const fake = (name: string, events: string[], head: () => Promise<undefined>): ObjectStore =>
    ({
      url: name,
      head: () => (events.push(`${name} head`), head()),
      close: async () => void events.push(`${name} close`),
    }) as Partial<ObjectStore> as ObjectStore;

  it("goes on with the old credentials what began with them, and closes their store then", async () => {
    const clock = { at: 0, monotonic: () => clock.at };
    const events: string[] = [];
    const gate = Promise.withResolvers<undefined>();
    let version = 1;
    let isMissing = false;
    const look = async (): Promise<Opened> => {
      if (isMissing) throw new CdhError("CDH_STORE_DENIED", "none");
      const name = `v${version}`;
      const isFirst = version === 1;
      const head = (): Promise<undefined> => (isFirst ? gate.promise : Promise.resolve(undefined));
      return { fingerprint: name, open: async () => fake(name, events, head) };
    };
    const store = new RenewedStore({ url: "s3://x", clock, log: silentLogger, look });
    const first = store.head("a");
    await Promise.resolve();
    version = 2;
    clock.at = 29_999;
    void store.head("b").catch(() => {});
    await new Promise(setImmediate);
    expect(events).toEqual(["v1 head", "v1 head"]);
    clock.at = 30_000;
    await store.head("c");
    expect(events).toEqual(["v1 head", "v1 head", "v2 head"]);
    gate.resolve(undefined);
    await first;
    await new Promise(setImmediate);
    expect(events.at(-1)).toBe("v1 close");
    // Gone for a moment: the last ones serve.
    isMissing = true;
    clock.at = 100_000;
    await store.head("d");
    expect(events.at(-1)).toBe("v2 head");
    await store.close();
    expect(events.at(-1)).toBe("v2 close");
  });

  it("looks at once after a refusal, and fails while there were never any", async () => {
    const clock = { at: 0, monotonic: () => clock.at };
    const events: string[] = [];
    let isThere = false;
    let isRefused = true;
    const head = async (): Promise<undefined> => {
      if (isRefused) throw new CdhError("CDH_STORE_DENIED", "wrong key");
    };
    let looks = 0;
    const look = async (): Promise<Opened> => {
      looks += 1;
      if (!isThere) throw new CdhError("CDH_STORE_DENIED", "none");
      return { fingerprint: String(isRefused), open: async () => fake(String(isRefused), events, head) };
    };
    const store = new RenewedStore({ url: "s3://x", clock, log: silentLogger, look });
    await expect(store.head("a")).rejects.toThrow("none");
    isThere = true;
    await expect(store.head("a")).rejects.toThrow("wrong key");
    isRefused = false;
    await store.head("a");
    expect(events).toEqual(["true head", "true close", "false head"]);
    expect(looks).toBe(3);
  });

  it("closes the old credentials' store when a body of it is given back unread", async () => {
    const events: string[] = [];
    let version = 1;
    const clock = { at: 0, monotonic: () => clock.at };
    const look = async (): Promise<Opened> => {
      const name = `v${version}`;
      const get = async (): Promise<AsyncIterable<Uint8Array>> =>
        (async function* () {
          yield Buffer.from("x");
        })();
      return { fingerprint: name, open: async () => ({ ...fake(name, events, async () => undefined), get }) };
    };
    const store = new RenewedStore({ url: "s3://x", clock, log: silentLogger, look });
    const body = await store.get("a");
    version = 2;
    clock.at = 30_000;
    await store.head("b");
    expect(events).toEqual(["v2 head"]);
    await body?.[Symbol.asyncIterator]().return?.();
    expect(events).toEqual(["v2 head", "v1 close"]);
  });
});
