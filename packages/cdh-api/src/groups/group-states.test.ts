import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import type { GroupState } from "../manifests/group-state.ts";
import { GroupStates } from "./group-states.ts";
import { GROUP_FOLDER, newestStates, STATES_MAX } from "./state-keys.ts";

const ID = "bug-0123456789";
let directory: string;
let store: ObjectStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cdh-group-states-"));
  store = new DirectoryStore(directory, { clock: systemClock });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const replica = (on: ObjectStore = store, isThere = (_namespace: string, _id: string): boolean => true): GroupStates =>
  new GroupStates({ store: on, clock: systemClock, log: silentLogger, intervalMs: 1000, isThere, onChange: () => {} });
const bug = (at: number): string => `bug-${at.toString(16).padStart(10, "0")}`;
const noted =
  (note: string) =>
  (before: GroupState | undefined): GroupState | undefined =>
    before?.note === note ? undefined : { state: "muted", note, by: "dev", at: 1 };

describe("what people say about groups", () => {
  it("what was accepted is what counts, also of a replica so slow that others changed it twice meanwhile", async () => {
    const other = replica();
    let isFirst = true;
    const slow = new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (name !== "putBytes") return value.bind(target) as unknown;
        return async (...args: Parameters<ObjectStore["putBytes"]>) => {
          if (isFirst) {
            isFirst = false;
            await other.change("shop", ID, noted("one"));
            await other.change("shop", ID, noted("two"));
          }
          return await target.putBytes(...args);
        };
      },
    });
    const changed = await replica(slow).change("shop", ID, noted("three"));
    expect(changed?.note).toBe("three");
    const later = replica();
    await later.freshen();
    expect(later.of("shop", ID)?.note).toBe("three");
  });

  it("of more groups than there may be, those that are gone make room, and one namespace costs no other", async () => {
    // As many as there may be, and one more by somebody else's hand.
    for (let at = 0; at <= STATES_MAX; at += 1) {
      const said = {
        schemaVersion: 1,
        state: "muted",
        by: "dev",
        at: new Date(at === 5 ? 1000 : 2000 + at).toISOString(),
      };
      mkdirSync(join(directory, `_groups/shop/${bug(at)}`), { recursive: true });
      writeFileSync(join(directory, `_groups/shop/${bug(at)}/00000001.json`), JSON.stringify(said));
    }
    await replica().change("till", ID, noted("one"));
    const one = replica(store, (_, id) => id !== bug(5) && id !== bug(7));
    while (!one.isLoaded) await one.freshen();
    expect([one.of("till", ID)?.note, one.leftOut]).toEqual(["one", 1]);
    expect([one.of("shop", bug(0))?.state, one.of("shop", bug(STATES_MAX))]).toEqual(["muted", undefined]);
    await one.change("shop", "bug-ffffffffff", noted("new"));
    expect(one.of("shop", "bug-ffffffffff")?.note).toBe("new");
    const left: string[] = [];
    for await (const { key } of store.list("_groups/shop/")) left.push(key);
    expect(left).not.toContain(`_groups/shop/${bug(5)}/00000001.json`);
    expect(left).toContain(`_groups/shop/${bug(7)}/00000001.json`);
    await expect(replica().change("shop", "bug-eeeeeeeeee", noted("new"))).rejects.toThrow("2000 groups of shop");
    // What is said already may be said anew.
    await one.change("shop", bug(0), noted("again"));
    expect(one.of("shop", bug(0))?.note).toBe("again");
  }, 60_000);

  it("a listing without end ends, and says where", async () => {
    for (const namespace of ["a", "b"])
      for (let at = 0; at < 5; at += 1)
        await store.putBytes(`_groups/${namespace}/${bug(1)}/0000000${at}.json`, Buffer.from("{}"));
    const found = await newestStates(store, GROUP_FOLDER, undefined, 7);
    expect(found.endedAt).toBe("b");
    expect(found.keys.get(`a/${bug(1)}`)).toContain("00000004");
  });

  it("nothing is known before it was read", async () => {
    const one = replica();
    expect(one.isLoaded).toBe(false);
    await one.freshen();
    expect(one.isLoaded).toBe(true);
  });
});
