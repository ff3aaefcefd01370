import { describe, expect, it } from "vitest";
import { JsonRefused, parseJson, tryParseJson } from "./json.ts";

const LIMITS = { bytes: 1000, depth: 4, elements: 10 };

describe("parseJson", () => {
  it("parses what is within the limits, from bytes and from text", () => {
    const value = { a: [1, "x,{[", null, true, { b: '\\"' }], ü: "\u2028" };
    const text = JSON.stringify(value);
    expect(parseJson(text, LIMITS)).toEqual(value);
    expect(parseJson(Buffer.from(text), LIMITS)).toEqual(value);
    expect(parseJson("7", LIMITS)).toBe(7);
  });

  it.each([
    ["too many elements of an array", "[1,1,1,1,1,1,1,1,1,1,1]", "more than 10 elements"],
    ["too many empty objects", `[${"{},".repeat(10)}{}]`, "more than 10 elements"],
    [
      "too many members",
      JSON.stringify(Object.fromEntries(Array.from({ length: 12 }, (_, at) => [at, at]))),
      "more than 10 elements",
    ],
    ["too deep", "[[[[[]]]]]", "nested deeper than 4 levels"],
    ["too long", JSON.stringify("x".repeat(1000)), "more than 1000 bytes"],
    ["too long in UTF-8 only", JSON.stringify("ü".repeat(600)), "more than 1000 bytes"],
    ["no JSON", "[1,", "invalid JSON"],
  ])("refuses what is %s", (_, text, why) => {
    for (const source of [text, Buffer.from(text)]) {
      expect(() => parseJson(source, LIMITS)).toThrow(JsonRefused);
      expect(() => parseJson(source, LIMITS)).toThrow(why);
      expect(tryParseJson(source, LIMITS)).toBeUndefined();
    }
  });

  it("takes what stands in strings for text, whatever it looks like", () => {
    expect(parseJson(JSON.stringify(",{[".repeat(100)), LIMITS)).toHaveLength(300);
    // A backslash before a quote does not end the string; two of them do.
    expect(parseJson(String.raw`["\",,,,,,,,,,,,"]`, LIMITS)).toEqual(['",,,,,,,,,,,,']);
    expect(() => parseJson(String.raw`["\\",1,1,1,1,1,1,1,1,1,1]`, LIMITS)).toThrow("elements");
  });

  it("refuses bytes that are not UTF-8, and never quotes what it refuses", () => {
    expect(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), LIMITS)).toThrow("not UTF-8");
    expect(() => parseJson('{"secret": hunter2}', LIMITS)).not.toThrow("hunter2");
    expect(() => parseJson('{"secret": hunter2}', LIMITS)).toThrow(JsonRefused);
  });

  it("refuses five million objects without making one of them", () => {
    const bytes = Buffer.from(`[${"{},".repeat(5_000_000)}{}]`);
    const before = process.memoryUsage();
    expect(() => parseJson(bytes)).toThrow("elements");
    const after = process.memoryUsage();
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(8 * 1024 * 1024);
  });
});
