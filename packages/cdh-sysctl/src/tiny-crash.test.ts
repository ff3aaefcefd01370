import { describe, expect, it } from "vitest";
import { isElf64, readLoaderFacts } from "./loader.ts";
import { makeTinyCrash } from "./tiny-crash.ts";

// That it crashes, `cdh-sysctl doctor` shows in test/sysctl, where the kernel's settings are held.
describe("makeTinyCrash", () => {
  it.each(["x64", "arm64"])("makes a static executable of a few bytes for %s", (architecture) => {
    const file = makeTinyCrash(architecture);
    expect(isElf64(file)).toBe(true);
    expect(file.length).toBeLessThan(256);
    expect(readLoaderFacts((offset, length) => file.subarray(offset, offset + length))).toEqual({});
  });

  it("knows no other machine", () => {
    expect(() => makeTinyCrash("s390x")).toThrow(expect.objectContaining({ code: "CDH_ENVIRONMENT" }));
  });
});
