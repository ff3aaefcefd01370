import { describe, expect, it } from "vitest";
import { findInLog, type LogSearch } from "./log-search.ts";

const AT = Date.parse("2026-11-30T10:00:00Z");
const search: LogSearch = {
  needles: ["boom", "little"],
  weigh: (line) => (line.startsWith("boom") ? 2 : line.startsWith("little") ? 1 : 0),
  following: 2,
  fromMs: AT - 60_000,
  untilMs: AT + 2_000,
};

const cri = (message: string, stream = "stderr", time = "2026-11-30T09:59:59.5Z"): string =>
  `${time} ${stream} F ${message}\n`;
const find = (...lines: string[]): string[] | undefined => findInLog(Buffer.from(lines.join("")), search);

describe("findInLog", () => {
  it("finds the last one, with what follows it on its stream, far above the end", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => cri(`goroutine ${index}`));
    expect(find(cri("boom 1"), cri("boom 2"), cri("other", "stdout"), cri("next"), ...many)).toEqual([
      "boom 2",
      "next",
      "goroutine 0",
    ]);
  });

  it("prefers what says more", () => {
    expect(find(cri("boom"), cri("little"))?.[0]).toBe("boom");
    expect(find(cri("x boom"), cri("little"))?.[0]).toBe("little");
  });

  it("takes docker's lines", () => {
    expect(find('{"log":"boom\\n","stream":"stderr","time":"2026-11-30T09:59:59Z"}\n')).toEqual(["boom"]);
  });

  it("leaves out what was written at another time, or does not say when", () => {
    expect(find(cri("boom", "stderr", "2026-11-30T09:50:00.123456789Z"))).toBeUndefined();
    expect(find(cri("boom", "stderr", "2026-11-30T10:50:00.123456789Z"))).toBeUndefined();
    expect(find("boom\n")).toBeUndefined();
  });

  it("weighs each line once, whatever stands in it, and of each needle the last lines alone", () => {
    const weighed: string[] = [];
    const counted: LogSearch = {
      ...search,
      weigh: (line) => {
        weighed.push(line);
        return 0;
      },
    };
    const both = Array.from({ length: 100 }, (_, index) => cri(`little boom little boom ${index}`));
    expect(findInLog(Buffer.from(both.join("")), counted)).toBeUndefined();
    expect(weighed).toHaveLength(100);
    expect(new Set(weighed).size).toBe(100);
    weighed.length = 0;
    const many = Array.from({ length: 5_000 }, (_, index) =>
      cri(`${index % 2 === 0 ? "a boom" : "a little"} ${index}`),
    );
    expect(findInLog(Buffer.from(many.join("")), counted)).toBeUndefined();
    expect(weighed).toHaveLength(1_000);
    expect(weighed).toContain("a boom 4998");
  });

  it("takes no time for a log that is full of it", () => {
    const bytes = Buffer.from("boom\n".repeat(400_000));
    const startedAt = performance.now();
    expect(findInLog(bytes, search)).toBeUndefined();
    expect(findInLog(Buffer.from("boom".repeat(500_000)), search)).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
