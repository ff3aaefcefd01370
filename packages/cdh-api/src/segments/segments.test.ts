import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { makeRecord } from "../testing/record.ts";
import { SegmentFolder, SEGMENTS_FOLDER } from "./folder.ts";
import { loadSegments, type Loaded } from "./load.ts";
import { SegmentWriter, type WriterOptions } from "./writer.ts";

const RULES = { hostNamespace: "hosts", trustUnverified: false };
const LISTED_AT = 1_795_249_571_000;
const signal = new AbortController().signal;

let directory: string;
let store: DirectoryStore;
let folder: SegmentFolder;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-segments-"));
  store = new DirectoryStore(directory, { clock: systemClock });
  folder = new SegmentFolder(store);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const emptyIndex = (): DumpIndex => new DumpIndex(new ChangeLog(1));

function writerOf(index: DumpIndex, more: Partial<WriterOptions> = {}): SegmentWriter {
  return new SegmentWriter({
    folder,
    index,
    rules: RULES,
    clock: systemClock,
    log: silentLogger,
    listedAt: () => LISTED_AT,
    intervalMs: 1000,
    ...more,
  });
}

/** Lead until so many rounds are over. */
async function leadFor(index: DumpIndex, work: (round: () => Promise<void>) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  let ended = (): void => {};
  const rounds: unknown[] = [];
  const writer = writerOf(index, {
    intervalMs: 1,
    onRound: (outcome) => {
      rounds.push(outcome);
      ended();
    },
  });
  const running = writer.run(stop.signal);
  await work(async () => {
    // The one that goes on may have passed what was changed.
    for (let turn = 0; turn < 2; turn += 1) await new Promise<void>((resolve) => (ended = resolve));
  });
  stop.abort();
  await running;
  expect(rounds.filter((outcome) => typeof outcome === "object" && outcome !== null && "failure" in outcome)).toEqual(
    [],
  );
}

async function load(rules = RULES): Promise<Loaded & { index: DumpIndex }> {
  const index = emptyIndex();
  return { ...(await loadSegments({ folder, rules, index, pool: index.pool, log: silentLogger }, signal)), index };
}

/** The store keeps what it knows of its objects in hidden files beside them. */
const files = async (): Promise<string[]> =>
  (await readdir(join(directory, SEGMENTS_FOLDER))).filter((name) => /^\d.*segment$/.test(name)).toSorted();

const dumpsOf = (index: DumpIndex): string[] =>
  [...index.list()].map((one) => `${one.namespace}/${one.name} ${one.manifestStamp} ${one.bundleBytes} ${one.keep}`);

const FIELDS = [
  "stem",
  "name",
  "podName",
  "podUid",
  "nodeName",
  "imageRef",
  "summary",
  "where",
  "site",
  "signature",
  "crashedAt",
  "storedAt",
  "pid",
  "coreBytes",
  "expectedBytes",
  "restartCount",
  "exe",
  "faultAddress",
] as const;
const factsOf = (record: DumpRecord | undefined): unknown[] => FIELDS.map((name) => record?.[name]);

function fill(index: DumpIndex, from: number, to: number, changes: Partial<DumpRecord> = {}): void {
  for (let at = from; at < to; at += 1) {
    const stem = `shop/1f3870be-274f-4c49-b3e3-${String(at).padStart(12, "0")}`;
    index.put(makeRecord({ name: `d${at}`, stem, crashedAt: LISTED_AT + at, podName: `web-${at}`, ...changes }));
  }
}
const stemAt = (at: number): string => `shop/1f3870be-274f-4c49-b3e3-${String(at).padStart(12, "0")}`;

describe("segments of the index", () => {
  it("give back every dump as it was, and when that was", async () => {
    const index = emptyIndex();
    fill(index, 0, 34_000);
    index.put(
      makeRecord({
        name: "kept",
        stem: "shop/kept",
        keep: true,
        bundleBytes: undefined,
        pid: undefined,
        where: undefined,
      }),
    );
    await leadFor(index, (round) => round());
    const loaded = await load();
    expect(loaded).toMatchObject({ dumps: 34_001, damaged: [], missing: [], listedAt: LISTED_AT });
    expect(dumpsOf(loaded.index)).toEqual(dumpsOf(index));
    for (const name of ["d0", "d33999", "kept"]) {
      expect(factsOf(loaded.index.byName(name))).toEqual(factsOf(index.byName(name)));
    }
  }, 120_000);

  it("show a dump where the settings of who reads say", async () => {
    const index = emptyIndex();
    index.put(makeRecord({ name: "guess", identityVerified: false }));
    index.put(makeRecord({ name: "secret", restricted: true }));
    await leadFor(index, (round) => round());
    const { index: strict } = await load();
    expect([...strict.list()].map((one) => `${one.namespace}/${one.name}`)).toEqual(["hosts/guess", "hosts/secret"]);
    const { index: trusting } = await load({ hostNamespace: "infra", trustUnverified: true });
    expect([...trusting.list()].map((one) => `${one.namespace}/${one.name}`)).toEqual(["infra/secret", "shop/guess"]);
  });

  it("hold what changes, and count each dump that is gone once, whoever leads, and however small ones are put together", async () => {
    const index = emptyIndex();
    fill(index, 0, 40);
    await leadFor(index, async (round) => {
      await round();
      for (let at = 0; at < 30; at += 1) {
        fill(index, 40 + at, 41 + at, { signature: "assert | pay" });
        if (at % 2 === 0) index.remove(stemAt(at), 1);
        if (at === 7) fill(index, 39, 40, { keep: true });
        await round();
      }
    });
    // Another one leads, which never saw those that are gone; and one is gone while nobody leads.
    const other = (await load()).index;
    expect(dumpsOf(other)).toEqual(dumpsOf(index));
    other.remove(stemAt(41), 2);
    await leadFor(other, async (round) => {
      other.remove(stemAt(1), 3);
      await round();
    });
    await leadFor(other, (round) => round());
    const loaded = await load();
    expect(dumpsOf(loaded.index)).toEqual(dumpsOf(other));
    const past = [...loaded.past.values()].map(({ signature, count, first }) => ({ signature, count, first }));
    expect(past.toSorted((a, b) => a.count - b.count)).toEqual([
      { signature: "assert | pay", count: 1, first: LISTED_AT + 41 },
      { signature: undefined, count: 16, first: LISTED_AT },
    ]);
    expect((await files()).length).toBeLessThan(12);
  });

  it("one that is cut off, changed or made up costs itself alone, and is written anew", async () => {
    const index = emptyIndex();
    fill(index, 0, 10);
    await leadFor(index, async (round) => {
      await round();
      fill(index, 10, 20);
      await round();
    });
    const names = await files();
    expect(names).toHaveLength(2);
    const [file = ""] = names.map((name) => join(directory, SEGMENTS_FOLDER, name));
    const whole = await readFile(file);
    const bad = Buffer.from(whole);
    bad[40] = (bad[40] ?? 0) ^ 1;
    for (const bytes of [whole.subarray(0, -9), bad, Buffer.alloc(0), Buffer.from("CDHIDX1\nx")]) {
      await writeFile(file, bytes);
      const loaded = await load();
      expect(loaded).toMatchObject({ dumps: 10, damaged: [names[0]?.replace(".segment", "")] });
    }
    await writeFile(join(directory, SEGMENTS_FOLDER, "notes.txt"), "not ours");
    await leadFor(index, async (round) => {
      await round();
      await round();
    });
    expect(dumpsOf((await load()).index)).toEqual(dumpsOf(index));
    expect((await load()).damaged).toEqual([]);
    expect(await readdir(join(directory, SEGMENTS_FOLDER))).toContain("notes.txt");
  });

  it("a writer that ends before it removes what it put together leaves each dump once", async () => {
    const index = emptyIndex();
    fill(index, 0, 20);
    await leadFor(index, async (round) => {
      for (let at = 0; at < 12; at += 1) {
        fill(index, 20 + at, 21 + at);
        index.remove(stemAt(at), 1);
        await round();
      }
    });
    const before = await load();
    // All that ever was is there again, as if nothing had been removed.
    const kept = new Map<string, Buffer>();
    const remove = folder.remove.bind(folder);
    folder.remove = async (name): Promise<void> => {
      kept.set(name, await readFile(join(directory, SEGMENTS_FOLDER, `${name}.segment`)));
    };
    await leadFor(index, async (round) => {
      fill(index, 40, 50);
      for (let at = 12; at < 31; at += 1) index.remove(stemAt(at), 1);
      await round();
    });
    folder.remove = remove;
    const after = await load();
    expect(kept.size).toBeGreaterThan(0);
    expect(dumpsOf(after.index)).toEqual(dumpsOf(index));
    const count = (loaded: Loaded): number => [...loaded.past.values()].reduce((sum, one) => sum + one.count, 0);
    expect([count(before), count(after)]).toEqual([12, 31]);
  });
});
