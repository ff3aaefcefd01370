import { describe, expect, it } from "vitest";
import { parseRange } from "./parse-range.ts";

const invalid = expect.objectContaining({ code: "CDH_CONFIG_INVALID" });

describe("parseRange", () => {
  it.each([
    ["0+64Ki", 0n, 65_536],
    ["0x7f0000001000+256", 0x7f0000001000n, 256],
    ["0x1000-0x2000", 0x1000n, 0x1000],
    ["4096", 4096n, undefined],
    ["0xffffffffffffffff+1", 0xffff_ffff_ffff_ffffn, 1],
  ])("reads %s", (text, start, length) => {
    expect(parseRange(text)).toEqual({ start, length });
  });

  it.each(["", "x", "0x", "5-3", "-5", "1+", "1+2+3", "0x11111111111111111"])("refuses %j", (text) => {
    expect(() => parseRange(text)).toThrow(invalid);
  });
});
