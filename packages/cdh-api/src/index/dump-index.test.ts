import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRecord } from "../testing/record.ts";
import { ChangeLog, type Change } from "./change-log.ts";
import { DumpIndex } from "./dump-index.ts";
import type { DumpRecord } from "./dump-record.ts";

function ordered(records: Iterable<DumpRecord>): string[] {
  return [...records]
    .toSorted((a, b) => {
      if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
      if (a.crashedAt !== b.crashedAt) return b.crashedAt - a.crashedAt;
      return a.name < b.name ? -1 : 1;
    })
    .map((record) => record.name);
}

it("lists in order, in pages of any size, whatever comes and goes", () => {
  const random = new SeededRandom(73);
  const index = new DumpIndex(new ChangeLog(1));
  const model = new Map<string, DumpRecord>();
  for (let step = 0; step < 600; step += 1) {
    const name = `dump-${random.integer(120)}`;
    const stem = `stem-${name}`;
    if (random.integer(3) === 0) {
      expect(index.remove(stem, step)?.name).toBe(model.get(stem)?.name);
      model.delete(stem);
    } else {
      const namespace = `ns-${random.integer(4)}`;
      const record = makeRecord({ name, stem, namespace, crashedAt: random.integer(50), revision: step });
      index.put(record);
      model.set(stem, record);
    }
    if (step % 20 !== 0) continue;
    const all = ordered(model.values());
    expect([...index.list()].map((record) => record.name)).toEqual(all);
    const size = 1 + random.integer(9);
    const parts: string[] = [];
    for (let part = index.page(undefined, undefined, size); part.length > 0;) {
      expect(part.length).toBeLessThanOrEqual(size);
      parts.push(...part.map((record) => record.name));
      part = index.page(undefined, part.at(-1), size);
    }
    expect(parts).toEqual(all);
    const paged: string[] = [];
    for (let after: DumpRecord | undefined; ;) {
      const page: DumpRecord[] = [];
      for (const record of index.list(undefined, after)) {
        if (page.length === size) break;
        page.push(record);
      }
      if (page.length === 0) break;
      paged.push(...page.map((record) => record.name));
      after = page.at(-1);
    }
    expect(paged).toEqual(all);
    for (const namespace of index.namespaces()) {
      const own = [...model.values()].filter((record) => record.namespace === namespace);
      expect([...index.list(namespace)].map((record) => record.name)).toEqual(ordered(own));
      expect(index.count(namespace)).toBe(own.length);
    }
  }
});

it("finds a dump only in its own namespace", () => {
  const index = new DumpIndex(new ChangeLog(1));
  index.put(makeRecord({ name: "a", namespace: "shop" }));
  expect(index.find("shop", "a")?.name).toBe("a");
  expect(index.find("other", "a")).toBeUndefined();
  expect(index.find("shop", "__proto__")).toBeUndefined();
});

it("tells watchers of each change, with what was before", () => {
  const index = new DumpIndex(new ChangeLog(1));
  const seen: Change[] = [];
  const stop = index.watch((change) => void seen.push(change));
  index.put(makeRecord({ revision: 1 }), { quiet: true });
  index.put(makeRecord({ revision: 2, keep: true }));
  index.remove("shop/one", 3);
  stop();
  index.put(makeRecord({ revision: 4 }));
  expect(seen.map(({ revision, before, after }) => [revision, before?.keep, after?.keep])).toEqual([
    [2, false, true],
    [3, true, undefined],
  ]);
});

it("lists the newest of all namespaces first, in pages, back to a time", () => {
  const random = new SeededRandom(5);
  const index = new DumpIndex(new ChangeLog(1));
  const records = Array.from({ length: 400 }, (_, step) =>
    makeRecord({
      name: `d${step}`,
      stem: `s${step}`,
      namespace: `ns-${random.integer(9)}`,
      crashedAt: random.integer(90),
    }),
  );
  for (const record of records) index.put(record);
  for (const record of records.splice(0, 50)) index.remove(record.stem, 1);
  for (const [namespace, since] of [
    [undefined, undefined],
    [undefined, 40],
    ["ns-3", 12],
    ["ns-none", undefined],
  ] as const) {
    const wanted = records
      .filter((one) => (namespace === undefined || one.namespace === namespace) && one.crashedAt >= (since ?? 0))
      .toSorted((a, b) => b.crashedAt - a.crashedAt || (a.name < b.name ? -1 : 1))
      .map(({ name }) => name);
    expect(index.count(namespace, since)).toBe(wanted.length);
    const paged: string[] = [];
    for (let after: DumpRecord | undefined; ;) {
      const page: DumpRecord[] = [];
      for (const record of index.newestFirst(namespace, after, since)) {
        if (page.push(record) === 7) break;
      }
      paged.push(...page.map(({ name }) => name));
      after = page.at(-1);
      if (page.length < 7) break;
    }
    expect(paged).toEqual(wanted);
  }
});

it("gives blocks up of which little is left, while who lists goes on reading what was there", () => {
  const index = new DumpIndex(new ChangeLog(1));
  const count = 80_000;
  for (let at = 0; at < count; at += 1) {
    index.put(makeRecord({ name: `d${at}`, stem: `shop/d${at}`, crashedAt: at }), { quiet: true });
  }
  const before = index.list();
  expect(before.next().value?.name).toBe(`d${count - 1}`);
  const blocks = (): number => index.pool.blocks.filter((block) => block !== undefined).length;
  const [all, isKept] = [blocks(), (at: number): boolean => at % 100 === 0];
  for (let at = 0; at < count; at += 1) if (!isKept(at)) index.remove(`shop/d${at}`, at);
  index.compact();
  expect(blocks()).toBeLessThan(all);
  expect(index.size).toBe(count / 100);
  expect([...index.list()].map(({ name }) => name)).toEqual(
    Array.from({ length: count / 100 }, (_, at) => `d${count - 100 * (at + 1)}`),
  );
  for (const at of [0, 100, 79_900]) expect(index.byStem(`shop/d${at}`)?.crashedAt).toBe(at);
  expect(index.byName("d100")?.crashedAt).toBe(100);
  let [seen, last] = [1, ""];
  for (const { name } of before) [seen, last] = [seen + 1, name];
  expect([seen, last]).toEqual([count, "d0"]);
});
