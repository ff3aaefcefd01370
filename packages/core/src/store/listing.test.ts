import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { AnswerMeter, AnswerTooLong, readAnswer, tryExplainTooLong } from "./answers.ts";
import { listDirectory } from "./directory/listing.ts";
import { listByPages, ListingCount, type ListingPage } from "./listing.ts";
import type { ObjectInfo } from "./store.ts";

const LIMITS = { objects: 50, pages: 20, emptyPages: 5 };

function objects(from: number, count: number): ObjectInfo[] {
  return Array.from({ length: count }, (_, at) => ({ key: `k${from + at}`, sizeBytes: 1, modifiedAt: 1 }));
}

/** List what a server gives page by page. */
async function listed(page: (at: number) => ListingPage): Promise<{ keys: string[]; pages: number; failure?: string }> {
  const keys: string[] = [];
  let pages = 0;
  const fetch = async (): Promise<ListingPage> => page(pages++);
  try {
    for await (const { key } of listByPages("list x in s3://b", fetch, LIMITS)) keys.push(key);
    return { keys, pages };
  } catch (error) {
    return { keys, pages, failure: String(error) };
  }
}

describe("listByPages", () => {
  it("gives what an honest server shows, also after pages of nothing", async () => {
    const { keys, failure } = await listed((at) => {
      const isEmpty = at % 5 !== 4;
      return { objects: isEmpty ? [] : objects(at * 10, 10), isEmpty, next: at === 14 ? "" : `t${at}` };
    });
    expect(failure).toBeUndefined();
    expect(keys).toHaveLength(30);
  });

  it.each<[string, (at: number) => ListingPage, number]>([
    ["repeats its tokens", (at) => ({ objects: objects(at, 1), isEmpty: false, next: `t${at % 3}` }), 4],
    ["sends empty pages", (at) => ({ objects: [], isEmpty: true, next: `t${at}` }), LIMITS.emptyPages + 1],
    ["sends ever more pages", (at) => ({ objects: objects(at, 1), isEmpty: false, next: `t${at}` }), LIMITS.pages],
    ["sends ever more of others' objects", (at) => ({ objects: [], isEmpty: false, next: `t${at}` }), LIMITS.pages],
  ])("ends with a server that %s", async (_, page, pages) => {
    const result = await listed(page);
    expect(result.failure).toContain("cannot list x in s3://b: the listing goes round and never ends");
    expect(result.pages).toBe(pages);
  });

  it("ends with a server that sends ever more objects", async () => {
    const result = await listed((at) => ({ objects: objects(at * 20, 20), isEmpty: false, next: `t${at}` }));
    expect(result.failure).toContain("it holds more than 50 objects");
    expect(result.keys).toHaveLength(50);
  });

  it("counts what comes without pages just so", () => {
    const count = new ListingCount("list /x", LIMITS);
    for (let at = 0; at < 50; at += 1) count.add();
    expect(() => count.add()).toThrow("cannot list /x: it holds more than 50 objects");
  });
});

describe("listDirectory", () => {
  it("ends in a folder of too many names, and in folders of too many in all", async () => {
    const root = mkdtempSync(join(tmpdir(), "cdh-listing-"));
    onTestFinished(() => rmSync(root, { recursive: true }));
    for (const folder of ["a", "b"]) {
      mkdirSync(join(root, folder));
      for (let at = 0; at < 5; at += 1) writeFileSync(join(root, folder, `${at}`), "");
    }
    const keysWithin = async (limits: { names?: number; objects?: number }): Promise<string[]> => {
      const keys: string[] = [];
      for await (const { key } of listDirectory(root, "", {}, limits)) keys.push(key);
      return keys;
    };
    expect(await keysWithin({ names: 5, objects: 10 })).toHaveLength(10);
    await expect(keysWithin({ names: 4 })).rejects.toThrow("holds more than 4 names");
    await expect(keysWithin({ objects: 9 })).rejects.toThrow("holds more than 9 objects");
  });
});

describe("an answer that is read whole", () => {
  async function* pieces(piece: string, count: number): AsyncIterable<Buffer> {
    for (let at = 0; at < count; at += 1) yield Buffer.from(piece);
  }

  it("is bounded in bytes and in elements", async () => {
    expect(await readAnswer(pieces("<a>é</a>", 1000))).toBe("<a>é</a>".repeat(1000));
    await expect(readAnswer(pieces("x".repeat(1024), 8193))).rejects.toThrow("longer than 8388608 bytes");
    await expect(readAnswer(pieces("x".repeat(10), 11), 100)).rejects.toThrow("longer than 100 bytes");
    await expect(readAnswer(pieces("<a/>", 400_001))).rejects.toThrow("more than 400000 elements");
  });

  it("that was too long is told, whatever a library made of it", () => {
    const meter = new AnswerMeter(4);
    let thrown: unknown;
    try {
      meter.take(Buffer.from("12345"));
    } catch (error) {
      thrown = new Error("the library's words", { cause: new Error("more", { cause: error }) });
    }
    expect(tryExplainTooLong(thrown, "list x", "s3://b")).toMatchObject({
      code: "CDH_STORE",
      message: "cannot list x in s3://b: the answer is longer than 4 bytes",
      cause: expect.any(AnswerTooLong),
    });
    const round: Error & { cause?: unknown } = new Error("round");
    round.cause = round;
    for (const other of [new Error("other"), round, undefined, "text"])
      expect(tryExplainTooLong(other, "list x", "s3://b")).toBeUndefined();
  });
});
