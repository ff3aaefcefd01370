import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeTestNative } from "../testing/test-native.ts";
import { descriptorInput, withFirstRead } from "./input.ts";
import type { Native } from "./native.ts";

const directory = mkdtempSync(join(tmpdir(), "cdh-input-"));
const file = join(directory, "core");
writeFileSync(file, "abcdefgh");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A pipe in which something is there after so many looks. */
function nativeThat(isReadable: () => boolean): Native & { naps: number } {
  const native = { ...makeTestNative(), isReadable, naps: 0, nap: () => void (native.naps += 1) };
  return native;
}

describe("descriptorInput", () => {
  it("cannot read without waiting where there are no system calls for it", () => {
    expect(descriptorInput(0).readNow).toBeUndefined();
  });

  it("naps while nothing is there, and reads what comes", () => {
    let looks = 0;
    const native = nativeThat(() => (looks += 1) > 3);
    const fd = openSync(file, "r");
    const buffer = Buffer.alloc(16);
    expect(descriptorInput(fd, native).readNow?.(buffer, 4, 5, true)).toBe(5);
    closeSync(fd);
    expect(buffer.toString("utf8", 4, 9)).toBe("abcde");
    expect(native.naps).toBe(3);
  });

  it("gives up after a few naps, so that the event loop gets its turn, and begins anew", () => {
    const native = nativeThat(() => false);
    const input = descriptorInput(0, native);
    expect(input.readNow?.(Buffer.alloc(1), 0, 1, true)).toBeUndefined();
    const once = native.naps;
    expect(once).toBeLessThan(50);
    expect(input.readNow?.(Buffer.alloc(1), 0, 1, true)).toBeUndefined();
    expect(native.naps).toBe(2 * once);
  });
});

describe("withFirstRead", () => {
  it("reads nothing from behind before what was read early is taken", async () => {
    const fd = openSync(file, "r");
    const native = nativeThat(() => true);
    const input = withFirstRead(descriptorInput(fd, native), Promise.resolve(Buffer.from("12")));
    const buffer = Buffer.alloc(8);
    expect(input.readNow?.(buffer, 0, 8, true)).toBeUndefined();
    expect(await input.read(buffer, 0, 8)).toBe(2);
    expect(input.readNow?.(buffer, 2, 3, true)).toBe(3);
    closeSync(fd);
    expect(buffer.toString("utf8", 0, 5)).toBe("12abc");
  });
});
