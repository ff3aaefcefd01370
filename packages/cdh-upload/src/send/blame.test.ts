import { describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { blameOf } from "./blame.ts";

describe("blameOf", () => {
  it.each([
    ["CDH_STORE_DENIED", "store"],
    ["CDH_STORE_UNREACHABLE", "store"],
    ["CDH_STORE", "store"],
    ["CDH_STORE_MISMATCH", "object"],
    ["CDH_STORE_CONFLICT", "bundle"],
    ["CDH_STORE_REFUSED", "bundle"],
    ["CDH_BUNDLE_CUT_SHORT", "bundle"],
    ["CDH_DAMAGED", "bundle"],
    ["CDH_NOT_FOUND", "gone"],
    ["CDH_DISK", "object"],
  ] as const)("blames for %s the %s", (code, blame) => {
    expect(blameOf(new CdhError(code, "x"))).toBe(blame);
  });

  it("never blames a bundle, or the store, for a bug", () => {
    expect(blameOf(new TypeError("x"))).toBe("object");
  });
});
