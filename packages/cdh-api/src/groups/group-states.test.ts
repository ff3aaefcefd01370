import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import type { GroupState } from "../manifests/group-state.ts";
import { GroupStates } from "./group-states.ts";

const ID = "bug-0123456789";
let directory: string;
let store: ObjectStore;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cdh-group-states-"));
  store = new DirectoryStore(directory, { clock: systemClock });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const replica = (on: ObjectStore = store): GroupStates =>
  new GroupStates({ store: on, clock: systemClock, log: silentLogger, intervalMs: 1000, onChange: () => {} });
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

  it("nothing is known before it was read", async () => {
    const one = replica();
    expect(one.isLoaded).toBe(false);
    await one.freshen();
    expect(one.isLoaded).toBe(true);
  });
});
