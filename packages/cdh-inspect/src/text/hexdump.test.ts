import { expect, it } from "vitest";
import { hexdump } from "./hexdump.ts";

it("dumps bytes with their address", () => {
  expect(hexdump(Buffer.from("abc\u001b"), 0x1000n)).toBe(`000000001000  61 62 63 1b${" ".repeat(39)}|abc.|\n`);
});
