import { expect, it } from "vitest";
import { FileBytes } from "./file-bytes.ts";

it("FileBytes has a file's length and divides like bytes in memory, without holding any", () => {
  const bytes = new FileBytes(5 * 1024 ** 4);
  expect(bytes).toBeInstanceOf(Uint8Array);
  expect(bytes.byteLength).toBe(5 * 1024 ** 4);
  expect(bytes.buffer.byteLength).toBe(0);
  expect(bytes.subarray(10, 30).byteLength).toBe(20);
  expect(bytes.subarray(5 * 1024 ** 4 - 7).byteLength).toBe(7);
  expect(bytes.subarray(10, 30).subarray(15, 99).length).toBe(5);
  expect(bytes.subarray(10, 5).length).toBe(0);
});
