import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { planRange } from "./range.ts";

const validators = { etag: '"e"', modifiedAt: 1_795_249_571_432 };

it("whatever range is asked for, what is sent lies within the body", () => {
  const random = new SeededRandom(74);
  for (let run = 0; run < 3000; run += 1) {
    const size = random.integer(50);
    const part = (): string => (random.integer(4) === 0 ? "" : String(random.integer(60)));
    const range = `bytes=${part()}-${part()}`;
    const plan = planRange({ range }, validators, size);
    if (!("span" in plan)) {
      expect(plan.status).toBe(416);
      continue;
    }
    const { start, end } = plan.span;
    expect(start >= 0 && end <= size && start <= end, `${range} of ${size}`).toBe(true);
    if (plan.status === 206) expect(end, `${range} of ${size}`).toBeGreaterThan(start);
    else expect([start, end]).toEqual([0, size]);
  }
});

it.each([
  [{ range: "bytes=2-3" }, 206],
  [{ range: "bytes=10-" }, 416],
  [{ range: "bytes=-0" }, 416],
  [{ range: "bytes=0-0,5-6" }, 200],
  [{ range: "bytes=0-0", "if-range": '"e"' }, 206],
  [{ range: "bytes=0-0", "if-range": 'W/"e"' }, 200],
  [{ "if-none-match": '"x", "e"' }, 304],
  [{ "if-none-match": "*" }, 304],
  [{ "if-match": "*" }, 200],
  [{ "if-match": '"x"' }, 412],
  [{ "if-modified-since": "no date" }, 200],
  // Weaker conditions do not count beside the stronger ones.
  [{ "if-none-match": '"x"', "if-modified-since": "Tue, 01 Jan 2030 00:00:00 GMT" }, 200],
])("%o is answered with %d", (headers, status) => {
  expect(planRange(headers, validators, 10).status).toBe(status);
});
