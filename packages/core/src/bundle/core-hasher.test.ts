import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { CoreHasher } from "./core-hasher.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

function frame(seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(FRAME_BYTES);
  const words = new Uint32Array(memory);
  const random = new SeededRandom(seed);
  for (let at = 0; at < words.length; at += 512) words[at] = random.integer(2 ** 32);
  return memory;
}

describe("CoreHasher", () => {
  // 28 buffers: no thread up to 12 frames. 3 buffers: a thread before they run out.
  it.each([
    { buffers: 28, frames: 0 },
    { buffers: 28, frames: 1 },
    { buffers: 28, frames: 12 },
    { buffers: 28, frames: 40 },
    { buffers: 3, frames: 2 },
    { buffers: 3, frames: 9 },
    { buffers: 1, frames: 4 },
  ])("hashes $frames frames with $buffers buffers, and gives every one back in order", async ({ buffers, frames }) => {
    const hasher = new CoreHasher(buffers);
    const expected = createHash("sha256");
    const given: number[] = [];
    let waiting = 0;
    for (let index = 0; index < frames; index += 1) {
      const memory = frame(index);
      const length = index === frames - 1 ? 1000 : FRAME_BYTES;
      expected.update(new Uint8Array(memory, 0, length));
      waiting += 1;
      hasher.add(memory, length, () => {
        given.push(index);
        waiting -= 1;
      });
      // A caller has no more than its buffers: it can go on only once the hasher gives one back.
      if (waiting >= buffers && index < frames - 1)
        await expect.poll(() => waiting, { timeout: 10_000 }).toBeLessThan(buffers);
    }
    expect(await hasher.digest()).toBe(expected.digest("hex"));
    expect(given).toEqual(Array.from({ length: frames }, (_, index) => index));
  });

  // Short runs and long ones, at the start, in the middle and at the end, with and without the thread.
  it.each([
    { runs: [3, 0], frames: 1 },
    { runs: [0, 5, 0, 4], frames: 3 },
    { runs: [40, 1, 33, 200], frames: 3 },
    { runs: [0, 70], frames: 1 },
    { runs: [64], frames: 0 },
  ])("hashes runs of $runs zero frames among $frames others", async ({ runs, frames }) => {
    const hasher = new CoreHasher(28);
    const expected = createHash("sha256");
    const zeros = new Uint8Array(FRAME_BYTES);
    let given = 0;
    for (const [index, run] of runs.entries()) {
      for (let count = 0; count < run; count += 1) {
        expected.update(zeros);
        hasher.addZeroFrame();
      }
      if (index >= frames) continue;
      const memory = frame(index + 1);
      expected.update(new Uint8Array(memory));
      hasher.add(memory, FRAME_BYTES, () => (given += 1));
    }
    expect(await hasher.digest()).toBe(expected.digest("hex"));
    expect(given).toBe(frames);
  });
});
