import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { hunt } from "./hunt.ts";
import { defineTarget, must, mustBePrintable, orRefused } from "./target.ts";

const options = { seed: 1, forMs: 20_000, runs: 500, onInput: (): void => undefined };

describe("a hunt", () => {
  it("finds what breaks, makes it small, and comes back to it", async () => {
    const target = defineTarget({
      name: "breaks",
      what: "",
      recipes: fc.nat({ max: 1000 }),
      build: (value) => Buffer.from(String(value)),
      bytesOf: (bytes) => bytes,
      run: (bytes) => must(Number(bytes.toString()) < 700, "too much"),
    });
    const { finding } = await hunt(target, options);
    expect(finding).toMatchObject({ target: "breaks", recipe: "700" });
    expect(Buffer.from(finding?.input ?? []).toString()).toBe("700");
    const again = await hunt(target, { ...options, seed: finding?.seed ?? 0, path: finding?.path ?? "" });
    expect(again.finding?.recipe).toBe("700");
  });

  it("finds what takes too long and too much", async () => {
    const spin = defineTarget({
      name: "spins",
      what: "",
      recipes: fc.constantFrom(0, 300),
      build: (ms) => ms,
      run: (ms) => {
        for (const end = performance.now() + ms; performance.now() < end;);
      },
      cpuMaxMs: 100,
    });
    expect((await hunt(spin, options)).finding?.error).toMatch(/took \d+ ms of processor time, of 100/);
    const grow = defineTarget({
      name: "grows",
      what: "",
      recipes: fc.constantFrom(0, 200),
      build: (mib) => mib,
      run: (mib) => void Buffer.alloc(mib * 1024 ** 2, 1),
      memoryMaxBytes: 100 * 1024 ** 2,
    });
    expect((await hunt(grow, options)).finding?.error).toMatch(/took \d+ MiB of memory, of 100/);
  });

  it("lets readers refuse with an error of ours, and with no other", async () => {
    await orRefused(() => {
      throw new CdhError("CDH_BUNDLE_JSON", "no");
    });
    await expect(
      orRefused(() => {
        throw new RangeError("ours to mend");
      }),
    ).rejects.toThrow("ours to mend");
    expect(() => mustBePrintable("a\n\u202eb", "it")).toThrow("it holds U+202e at 2");
  });
});
