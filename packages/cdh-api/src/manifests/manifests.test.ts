import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { recordOf } from "../index/record-of.ts";
import { RecordPool } from "../index/record-pool.ts";
import { headOf } from "./head.ts";
import { STATE_LIMITS } from "./state-limits.ts";
import { parseInThread, ParseThread, type ThreadAnswer } from "./thread.ts";

const KEEP = "core-dump-handler.dev/keep";

/** A manifest with as many modules, each with as much as readers accept in all. */
function large(modules: number, more: object = {}): Buffer {
  const list = Array.from({ length: modules }, (_, at) => ({ path: `/m${at}`, start: "0x1", end: "0x2" }));
  return Buffer.from(JSON.stringify({ ...makeManifest(Buffer.alloc(16), 16), modules: list, ...more }));
}

describe("parseInThread", () => {
  it("parses nothing in this thread, however small it is", async () => {
    const { parse } = JSON;
    let parsed = 0;
    JSON.parse = (...given: Parameters<typeof parse>): unknown => {
      parsed += 1;
      return parse(...given);
    };
    try {
      const head = await parseInThread("head", large(1), "x");
      expect(head.crashId).not.toBe("");
      await expect(parseInThread("head", Buffer.from("{"), "x")).rejects.toMatchObject({ code: "CDH_BUNDLE_JSON" });
      await parseInThread("containers", Buffer.from("{}"), "x");
      await parseInThread("journal", Buffer.from("{}"), "x");
      await parseInThread("ledger", Buffer.from("{}"), "x", []);
    } finally {
      JSON.parse = parse;
    }
    expect(parsed).toBe(0);
  });

  it("makes of a manifest what is asked for", async () => {
    const small = await parseInThread("head", large(10), "x");
    expect(await parseInThread("head", large(5000), "x")).toEqual(small);
    const detail = await parseInThread("detail", large(5000), "x");
    expect(JSON.parse(detail.spec)).toMatchObject({ crashId: small.crashId });
    expect((JSON.parse(detail.spec) as { modules: unknown[] }).modules).toHaveLength(5000);
    expect(JSON.parse(detail.problems)).toEqual([]);
    const report = { extras: { bundle: "x.zip", bundleBytes: 1 }, now: 0 };
    expect(await parseInThread("report", large(5000), "x", { ...report, format: "text" })).toContain("SIGSEGV");
    expect(await parseInThread("report", large(5000), "x", { ...report, format: "html" })).toContain("<html");
  });

  it("fails for who hands over the same bytes twice, and goes on for the others", async () => {
    const bytes = large(5000);
    const twice = [
      parseInThread("head", bytes, "x"),
      parseInThread("head", bytes, "y"),
      parseInThread("head", large(1), "z"),
    ];
    const settled = await Promise.allSettled(twice);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expect(parseInThread("head", bytes, "again")).rejects.toThrow("handed over before");
    expect((await parseInThread("head", large(1), "x")).crashId).not.toBe("");
  });

  it("takes from crictl's answer and from retention's objects what is wanted, and nothing else", async () => {
    const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
    const containers = [{ metadata: { name: "app" } }, {}, { metadata: { name: "x".repeat(254) } }];
    expect(await parseInThread("containers", json({ containers }), "x")).toEqual(["app", undefined, undefined]);
    expect(
      await parseInThread("journal", json({ removing: [{ stem: "a", modifiedAt: 1 }, { stem: 2 }] }), "x"),
    ).toEqual([{ stem: "a", modifiedAt: 1 }]);
    const pods = { shop: { "web-1/u1": 5, "web-2/u2": 6, "web-3/u3": "x" } };
    const ledger = await parseInThread(
      "ledger",
      json({ schemaVersion: 1, namespaces: { shop: 3, other: 4 }, pods }),
      "x",
      ["shop/web-1/u1", "shop/web-3/u3"],
    );
    expect(ledger).toEqual({
      namespaces: new Map([["shop", 3]]),
      pods: new Map([["shop", new Map([["web-1/u1", 5]])]]),
    });
    expect(await parseInThread("ledger", Buffer.from("{"), "x", ["a/b/c"])).toEqual({
      namespaces: new Map(),
      pods: new Map(),
    });
  });

  it("gives each of many that ask at once its own answer, the bad ones theirs", async () => {
    const asked = Array.from({ length: 200 }, (_, at) => ({
      at,
      bytes: at % 7 === 3 ? Buffer.from(`{"bad":${at}}`) : large(at % 50, { bundle: `${at}.zip` }),
    }));
    const answers = await Promise.allSettled(asked.map(({ bytes, at }) => parseInThread("head", bytes, `${at}`)));
    for (const { at } of asked) {
      const answer = answers[at];
      if (answer?.status === "fulfilled") expect([at % 7, answer.value.bundle]).toEqual([at % 7, `${at}.zip`]);
      else expect([at % 7, String(answer?.reason)]).toEqual([3, expect.stringContaining(`manifest of ${at}:`)]);
    }
    expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(29);
  });

  it("has the memory for the worst that is within the limits", async () => {
    const { bytes, elements } = STATE_LIMITS;
    const keys = Array.from({ length: elements - 10 }, (_, at) => `"${at}${"y".repeat(bytes / elements - 24)}":1`);
    const ledgers = [`{"\u2028":{${keys.join(",")}}}`, `["\u2028${"x".repeat(bytes - 20)}"]`];
    for (const text of ledgers) {
      const body = Buffer.from(text);
      expect(body.length).toBeLessThan(bytes);
      expect((await parseInThread("ledger", body, "x", ["a/b"])).pods.size).toBe(0);
    }
  }, 60_000);

  it("refuses what is no manifest, with its code", async () => {
    for (const padding of ["", "x".repeat(100_000)])
      await expect(parseInThread("head", Buffer.from(`{"a":"${padding}"}`), "x")).rejects.toMatchObject({
        code: "CDH_BUNDLE_SCHEMA",
      });
    await expect(parseInThread("head", Buffer.from(`[${"{},".repeat(300_000)}{}]`), "x")).rejects.toMatchObject({
      code: "CDH_BUNDLE_JSON",
      message: expect.stringContaining("more than 200000 elements"),
    });
    expect((await parseInThread("head", large(5000), "x")).problemCount).toBe(0);
  });

  it("does not hold up this thread, whatever it reads", async () => {
    const worst = [
      large(40_000),
      large(1, { x: Object.fromEntries(Array.from({ length: 190_000 }, (_, at) => [`k${at}`, at])) }),
      large(1, { x: Array.from({ length: 60_000 }, (_, at) => ({ [`k${at}`]: at })) }),
      large(1, { x: ["\u2028".repeat(1_000_000)] }),
    ];
    await parseInThread("head", large(5000), "the thread starts");
    const [own, all] = [process.threadCpuUsage(), process.cpuUsage()];
    for (const bytes of worst) await parseInThread("head", bytes, "x");
    const ownMs = process.threadCpuUsage(own).user / 1000;
    const allMs = process.cpuUsage(all).user / 1000;
    // Time of processors: a busy machine makes neither of them longer. Parsed here, it would be nearly all.
    expect(ownMs).toBeLessThan(allMs / 5);
  }, 60_000);
});

describe("ParseThread", () => {
  const scripts = {
    /** Ends at what is called bad; hangs at what is called slow. */
    touchy: `const { parentPort } = require("node:worker_threads");
      parentPort.on("message", ({ bytes, jobs }) => {
        if (jobs.some(({ label }) => label === "bad")) process.exit(1);
        if (jobs.some(({ label }) => label === "slow")) return;
        let at = 0;
        const text = (size) => Buffer.from(bytes.subarray(at, (at += size))).toString();
        parentPort.postMessage(jobs.map(({ sizeBytes }) => ({ result: [text(sizeBytes), jobs.length] })));
      });`,
    broken: "throw new Error('no thread')",
  };
  const threadOf = (script: string, answerMs = 60_000): { thread: ParseThread; started: () => number } => {
    let started = 0;
    const start = (): Worker => {
      started += 1;
      return new Worker(script, { eval: true });
    };
    return { thread: new ParseThread({ start, answerMs }), started: () => started };
  };
  const ask = (thread: ParseThread, label: string): Promise<ThreadAnswer> =>
    thread.ask({ name: "head", label, input: undefined }, Buffer.from(label));

  it("asks for many small ones at once, and for each again by itself when that ended the thread", async () => {
    const { thread, started } = threadOf(scripts.touchy);
    expect(await Promise.all(["a", "b", "c"].map((label) => ask(thread, label)))).toEqual(
      ["a", "b", "c"].map((text) => ({ result: [text, 3] })),
    );
    const labels = ["d", "bad", "e", "bad", "f"];
    expect(await Promise.all(labels.map((label) => ask(thread, label)))).toEqual(
      labels.map((label) =>
        label === "bad"
          ? { failure: { message: "cannot read the manifest of bad: its thread ended" } }
          : { result: [label, 1] },
      ),
    );
    expect(await ask(thread, "g")).toEqual({ result: ["g", 1] });
    expect(started()).toBe(4);
  });

  it("gives up what gets no answer, and nothing else", async () => {
    const { thread } = threadOf(scripts.touchy, 500);
    const failure = { code: "CDH_BUNDLE_BOMB", message: "cannot read the manifest of slow: it takes too long" };
    expect(await Promise.all(["a", "slow", "b"].map((label) => ask(thread, label)))).toEqual([
      { result: ["a", 1] },
      { failure },
      { result: ["b", 1] },
    ]);
  });

  it("says why there is no thread", async () => {
    const { thread } = threadOf(scripts.broken);
    expect(await ask(thread, "a")).toEqual({ failure: { message: "cannot read the manifest of a: no thread" } });
  });
});

describe("headOf", () => {
  it("keeps single fields, the owner and the label that protects, and nothing else", () => {
    const manifest = makeManifest(Buffer.alloc(16), 16, {
      pod: { name: "p", namespace: "n", owner: { kind: "Deployment", name: "d" }, labels: { [KEEP]: "", other: "x" } },
      process: { pid: 1, cmdline: ["a", "b"] },
      restricted: true,
    });
    const head = headOf(manifest, "x");
    expect(head).toMatchObject({
      pod: { name: "p", namespace: "n", owner: { kind: "Deployment", name: "d" }, labels: { [KEEP]: "" } },
      restricted: true,
      problemCount: manifest.problems.length,
    });
    expect(head.process).toEqual({ pid: 1 });
    expect(JSON.stringify(head)).not.toMatch(/other|modules|threads/);
  });

  it("keeps how many crashes a report stands for, and since when", () => {
    const counted = { count: 178, first: "2026-11-21T08:16:11.000Z", last: "2026-11-21T08:26:11.000Z" };
    const head = headOf(makeManifest(Buffer.alloc(16), 16, { counted }), "x");
    expect(head.counted).toEqual(counted);
    const store = { stem: "a", manifestStamp: "1", bundleBytes: 1, storedAt: 1, keep: false };
    const place = { name: "a", namespace: "shop", revision: 1, keepByPod: false };
    const record = recordOf(head, store, place, new RecordPool());
    expect(record).toMatchObject({ suppressedCount: 177, countedSince: Date.parse(counted.first) });
    // Of one that stands for itself alone it is what limits left out before.
    const other = headOf(makeManifest(Buffer.alloc(16), 16, { suppressed: { count: 3, since: counted.first } }), "x");
    const plain = recordOf(other, store, place, new RecordPool());
    expect([plain.suppressedCount, plain.countedSince]).toEqual([3, undefined]);
  });

  it("refuses texts and fields that would fill the index", () => {
    const manifest = makeManifest(Buffer.alloc(16), 16);
    const long = { ...manifest, process: { exe: "x".repeat(10_000) } };
    expect(() => headOf(long, "x")).toThrow("10000 characters");
    const many = { ...manifest, node: Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, at])) };
    expect(() => headOf(many, "x")).toThrow("more than 64 fields");
  });
});
