import { expect, it } from "vitest";
import { calledBefore, isAfterCall } from "./call-before.ts";

const RETURN = 0x1000n;

/** Code that ends right before the return address. */
function codeBefore(hex: string): (address: bigint, length: number) => Promise<Uint8Array | undefined> {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const start = RETURN - BigInt(bytes.length);
  return async (address, length) => {
    const at = Number(address - start);
    return at < 0 ? undefined : bytes.subarray(at, at + length);
  };
}

// As objdump writes them.
it.each([
  ["90 90 e8 10 00 00 00", "call rel32"],
  ["90 90 90 90 90 ff d0", "call *%rax"],
  ["90 90 90 90 41 ff d4", "call *%r12"],
  ["90 90 90 90 90 ff 10", "call *(%rax)"],
  ["90 90 90 90 ff 50 08", "call *8(%rax)"],
  ["90 ff 15 10 20 00 00", "call *0x2010(%rip)"],
  ["90 ff 90 00 01 00 00", "call *0x100(%rax)"],
  ["90 90 90 90 ff 14 d8", "call *(%rax,%rbx,8)"],
  ["90 90 90 ff 54 24 08", "call *8(%rsp)"],
  ["ff 94 24 00 01 00 00", "call *0x100(%rsp)"],
  ["ff 14 c5 00 10 00 00", "call *0x1000(,%rax,8)"],
])("knows %s, %s", async (hex) => {
  expect(await isAfterCall(RETURN, codeBefore(hex))).toBe(true);
});

it.each([
  "90 90 90 90 90 90 90",
  "90 90 90 90 90 ff e0",
  "90 90 90 90 90 ff 30",
  "00 00 00 00 00 00 00",
  "e8 00 00 00 00 90 90",
])("takes %s for no call", async (hex) => {
  expect(await isAfterCall(RETURN, codeBefore(hex))).toBe(false);
});

it("says so when the code cannot be read", async () => {
  expect(await isAfterCall(RETURN, codeBefore("90"))).toBeUndefined();
  expect(await isAfterCall(3n, codeBefore("90"))).toBe(false);
});

it("finds what is called", async () => {
  expect(await calledBefore(RETURN, codeBefore("90 90 e8 f0 ff ff ff"))).toBe(RETURN - 16n);
  expect(await calledBefore(RETURN, codeBefore("90 90 90 90 90 ff d0"))).toBeUndefined();
});
