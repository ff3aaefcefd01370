import { expect, it } from "vitest";
import { makeRecord } from "../testing/record.ts";
import { decodePast, encodePast, goneHash, Past } from "./past.ts";

const T = 1_795_249_571_000;
const DAY = 24 * 3600e3;

it("is read as it was written, and whatever is none of it is left out", async () => {
  const past = new Past();
  past.add(makeRecord({ signature: "a" }));
  past.add(makeRecord({ signature: "a", crashedAt: T + DAY, imageRef: undefined, complete: false }));
  const gone = new Map([["000000000001-0123456789ab", new Set([goneHash("shop/one")])]]);
  expect(await decodePast(encodePast({ past: past.values(), gone }))).toEqual({ past: [...past.values()], gone });
  const [one] = past.values();
  const bad = [
    { count: -1 },
    { count: 1e300 },
    { first: 1e300 },
    { signature: 1 },
    { restricted: "no" },
    { summary: null },
  ];
  const made = {
    past: [null, 1, ...bad.map((change) => ({ ...one, ...change }))],
    gone: [1, ["x"], ["y", [1, "short"]]],
  };
  expect(await decodePast(Buffer.from(JSON.stringify(made)))).toEqual({ past: [], gone: new Map([["y", new Set()]]) });
  for (const text of ["", "[]", "{}", '{"past":1,"gone":[]}'])
    await expect(decodePast(Buffer.from(text))).rejects.toThrow("not readable");
});
