import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { decodeXz, XzError } from "./xz.ts";

const MAX = 1 << 20;

function pack(bytes: Uint8Array, ...options: string[]): Uint8Array {
  return execFileSync("xz", [...options, "-c"], { input: bytes, stdio: ["pipe", "pipe", "pipe"] });
}

const hasXz = ((): boolean => {
  try {
    execFileSync("xz", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasXz)("decodeXz", () => {
  const random = new SeededRandom(0x7a);
  const words = Array.from({ length: 4000 }, () => `symbol_${random.integer(500)}`).join("\0");
  const noise = Buffer.from(Array.from({ length: 70_000 }, () => random.integer(256)));
  const inputs = [
    Buffer.from(words),
    noise,
    Buffer.alloc(300_000),
    Buffer.from("a"),
    Buffer.concat([noise, Buffer.from(words)]),
  ];

  it.each([["-0"], ["-6"], ["-9e"], ["--lzma2=lc=1,lp=3,pb=0"], ["--check=none"], ["--block-size=20000"]])(
    "unpacks what xz %s packs",
    (option) => {
      for (const input of inputs) expect(Buffer.from(decodeXz(pack(input, option), MAX)).equals(input)).toBe(true);
    },
  );

  it("gives no more than it may", () => {
    expect(() => decodeXz(pack(Buffer.alloc(64 << 20)), MAX)).toThrow(XzError);
  });

  it("refuses a filter that it does not know, and what is no xz", () => {
    expect(() => decodeXz(pack(noise, "--x86", "--lzma2"), MAX)).toThrow(XzError);
    expect(() => decodeXz(Buffer.from("ELF"), MAX)).toThrow(XzError);
  });

  it("throws nothing but XzError, whatever it is given", () => {
    const packed = pack(Buffer.from(words));
    let refused = 0;
    for (let round = 0; round < Number(process.env["CDH_FUZZ_ROUNDS"] ?? 300); round += 1) {
      const damaged = Buffer.from(
        packed.subarray(0, random.integer(3) === 0 ? random.integer(packed.length) : undefined),
      );
      for (let changes = random.integer(6); changes >= 0 && damaged.length > 0; changes -= 1)
        damaged[random.integer(damaged.length)] = random.integer(256);
      try {
        expect(decodeXz(damaged, MAX).length).toBeLessThanOrEqual(MAX);
      } catch (error) {
        expect(error).toBeInstanceOf(XzError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(20);
  }, 60_000);
});
