import { describe, expect, it } from "vitest";
import { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import { makeFrameCompressor } from "@cdh/core/bundle/frame-compressor";
import { SeededRandom } from "@cdh/core/testing/random";
import { withFirstRead, type CoreInput } from "../self/input.ts";
import { drain, type DrainOptions, type DrainResult } from "./drain.ts";

const MIB = 1024 * 1024;
const never = new AbortController().signal;

/** Gives a core in pieces of any size, as a pipe does; after it the end, an error, or silence. */
function inputOf(
  core: Uint8Array,
  then: "end" | "fail" | "silence" = "end",
  seed = 1,
): CoreInput & { closed: boolean; isSilent: Promise<void> } {
  const random = new SeededRandom(seed);
  const { promise: isSilent, resolve: fallSilent } = Promise.withResolvers<void>();
  let at = 0;
  const input = {
    closed: false,
    isSilent,
    close: async () => void (input.closed = true),
    read: async (buffer: Buffer, offset: number, length: number) => {
      const count = Math.min(length, core.length - at, 1 + random.integer(200_000));
      if (count > 0) {
        buffer.set(core.subarray(at, at + count), offset);
        at += count;
        return count;
      }
      if (then === "fail") throw Object.assign(new Error("read failed"), { code: "EIO" });
      if (then === "silence") {
        fallSilent();
        await new Promise(() => {});
      }
      return 0;
    },
  };
  return input;
}

interface Drained {
  result: DrainResult;
  kept: Buffer;
  observed: Buffer;
}

async function drainInto(
  input: CoreInput,
  options: Partial<DrainOptions> & { write?: (bytes: Uint8Array, offset: number) => Promise<void> } = {},
): Promise<Drained> {
  const kept = Buffer.alloc(16 * MIB);
  const observed: Buffer[] = [];
  const pipeline = new CorePipeline({
    compressor: makeFrameCompressor("none"),
    threads: 1,
    buffers: 3,
    sink: { write: options.write ?? (async (bytes, offset) => void kept.set(bytes, offset)) },
  });
  const result = await drain({
    input,
    pipeline,
    limitBytes: options.limitBytes ?? ((): number => Number.POSITIVE_INFINITY),
    isLearning: options.isLearning ?? ((): boolean => false),
    stop: options.stop ?? never,
    slot: options.slot ?? { enter: () => undefined, reading: () => {} },
    observe: (chunk) => void observed.push(Buffer.from(chunk)),
  });
  await pipeline.settle();
  return { result, kept: kept.subarray(0, pipeline.bodyBytes), observed: Buffer.concat(observed) };
}

function noise(bytes: number, seed = 5): Buffer {
  const random = new SeededRandom(seed);
  const out = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) out.writeUInt32LE(random.integer(2 ** 32), at);
  return out;
}

describe("drain", () => {
  const core = noise(6 * MIB + 12_345);

  it.each([0, 1, MIB - 1, MIB, MIB + 1, core.length])("keeps and shows all of %d bytes, in order", async (length) => {
    for (const seed of [1, 2, 3]) {
      const { result, kept, observed } = await drainInto(inputOf(core.subarray(0, length), "end", seed));
      expect(result).toEqual({ endedBy: "end", receivedBytes: length });
      expect(kept.equals(core.subarray(0, length))).toBe(true);
      expect(observed.equals(kept)).toBe(true);
    }
  });

  it("a limit keeps so much, and reads on only as far as the notes may reach", async () => {
    const { result, kept, observed } = await drainInto(inputOf(core), { limitBytes: () => 100_000 });
    expect(result.endedBy).toBe("limit");
    expect(kept.equals(core.subarray(0, 100_000))).toBe(true);
    expect(observed.length).toBe(4 * MIB);
    const large = await drainInto(inputOf(core), { limitBytes: () => 5 * MIB + 7 });
    expect(large.kept.equals(core.subarray(0, 5 * MIB + 7))).toBe(true);
    expect(large.result.endedBy).toBe("limit");
  });

  it("a limit that the core just meets cuts nothing", async () => {
    const { result, kept } = await drainInto(inputOf(core), { limitBytes: () => core.length });
    expect(result.endedBy).toBe("end");
    expect(kept.length).toBe(core.length);
  });

  it.each([Number.POSITIVE_INFINITY, 10 * MIB + 5, 3 * MIB])(
    "passes frames of zeros that need not be read, up to a limit of %d",
    async (limit) => {
      const sparse = Buffer.concat([noise(2 * MIB), Buffer.alloc(7 * MIB), noise(MIB + 5, 9), Buffer.alloc(3 * MIB)]);
      let at = 0;
      let read = 0;
      const input: CoreInput = {
        read: async (buffer, offset, length) => {
          const count = sparse.copy(buffer, offset, at, at + length);
          at += count;
          read += count;
          return count;
        },
        zeroFrames: () => {
          let end = at;
          while (end < sparse.length && sparse[end] === 0) end += 1;
          return Math.floor((end - at) / MIB);
        },
        skipZeroFrames: (count) => void (at += count * MIB),
        close: async () => {},
      };
      const { result, kept, observed } = await drainInto(input, { limitBytes: () => limit });
      expect(result.endedBy).toBe(limit < sparse.length ? "limit" : "end");
      expect(kept.equals(sparse.subarray(0, Math.min(limit, sparse.length)))).toBe(true);
      expect(observed.subarray(0, kept.length).equals(kept)).toBe(true);
      if (limit > sparse.length) expect(read).toBeLessThan(6 * MIB);
    },
  );

  it("stopped in the silence, it keeps what came", async () => {
    const stop = new AbortController();
    const input = inputOf(core, "silence");
    const draining = drainInto(input, { stop: stop.signal });
    await input.isSilent;
    setImmediate(() => stop.abort());
    const { result, kept } = await draining;
    expect(result.endedBy).toBe("stop");
    expect(kept.equals(core.subarray(0, kept.length))).toBe(true);
    expect(kept.length).toBe(core.length);
  });

  it("stopped while it waits in line, it goes on to the end", async () => {
    const stop = new AbortController();
    const enter = (): Promise<void> => {
      setImmediate(() => stop.abort());
      return new Promise(() => {});
    };
    const slot = { enter, reading: () => {} };
    const { result } = await drainInto(inputOf(core), { stop: stop.signal, slot });
    expect(result.endedBy).toBe("stop");
  });

  it("asks for its slot after each frame that has another behind it, and never for a small core", async () => {
    let turns = 0;
    const slot = { enter: async () => void (turns += 1), reading: () => {} };
    await drainInto(inputOf(core.subarray(0, MIB - 1)), { slot });
    expect(turns).toBe(0);
    await drainInto(inputOf(core), { slot });
    expect(turns).toBe(Math.floor(core.length / MIB));
  });

  it("a read that fails ends the core there", async () => {
    const { result, kept } = await drainInto(inputOf(core, "fail"));
    expect(result).toMatchObject({ endedBy: "readFailure", receivedBytes: core.length, error: { code: "EIO" } });
    expect(kept.equals(core)).toBe(true);
  });

  it("a write that fails ends the drain", async () => {
    const write = async (): Promise<void> => {
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    };
    const { result } = await drainInto(inputOf(core), { write });
    expect(result).toMatchObject({ endedBy: "writeFailure", error: { code: "ENOSPC" } });
  });
});

describe("a drain that can read without waiting", () => {
  /** Like a pipe that has something at most looks, and sometimes nothing. */
  function eager(input: CoreInput, core: Uint8Array, seed: number): CoreInput {
    const random = new SeededRandom(seed);
    let at = 0;
    const take = (buffer: Buffer, offset: number, length: number): number => {
      const count = Math.min(length, core.length - at, 1 + random.integer(300_000));
      buffer.set(core.subarray(at, at + count), offset);
      at += count;
      return count;
    };
    return {
      ...input,
      read: async (buffer, offset, length) => take(buffer, offset, length),
      readNow: (buffer, offset, length) => (random.integer(4) === 0 ? undefined : take(buffer, offset, length)),
    };
  }

  it.each([1, 2, 3, 4, 5])("keeps every byte in order, zeros and noise mixed (%i)", async (seed) => {
    const core = noise(9 * MIB + 777, seed);
    const random = new SeededRandom(seed);
    for (let frame = 0; frame < 9; frame += 1)
      if (random.integer(2) === 0) core.fill(0, frame * MIB, (frame + 1) * MIB);
    const { result, kept, observed } = await drainInto(eager(inputOf(core), core, seed));
    expect(result).toEqual({ endedBy: "end", receivedBytes: core.length });
    expect(Buffer.concat([kept, Buffer.alloc(core.length - kept.length)]).equals(core)).toBe(true);
    expect(observed.equals(core)).toBe(true);
  });

  it("leaves a turn of the event loop to what is read of the process meanwhile, with each read", async () => {
    const core = Buffer.alloc(4 * MIB);
    const plain = inputOf(core);
    let [isLearning, turns, reads] = [true, 0, 0];
    const count = (): void => {
      turns += 1;
      if (isLearning) setImmediate(count);
    };
    setImmediate(count);
    const naps = new Set<boolean>();
    const input: CoreInput = {
      ...plain,
      readNow: (buffer, offset, length, mayNap) => {
        naps.add(mayNap);
        reads += 1;
        // What fits into a pipe that was not enlarged.
        return core.copy(buffer, offset, (reads - 1) * 65_536, (reads - 1) * 65_536 + Math.min(length, 65_536));
      },
    };
    const { result } = await drainInto(input, { isLearning: () => isLearning });
    isLearning = false;
    expect(result).toEqual({ endedBy: "end", receivedBytes: core.length });
    expect([...naps]).toEqual([false]);
    expect(turns).toBeGreaterThanOrEqual(reads - 1);
  });

  it("lets timers run in a flood of zeros that never ends", async () => {
    const flood: CoreInput = {
      close: async () => {},
      read: async (_buffer, _offset, length) => length,
      readNow: (_buffer, _offset, length) => length,
    };
    const stop = AbortSignal.timeout(200);
    const { result } = await drainInto(flood, { stop });
    expect(result.endedBy).toBe("stop");
  });
});

describe("withFirstRead", () => {
  it.each([0, 1, 65_536])("puts %d early bytes in front", async (early) => {
    const core = noise(300_000);
    const first = Promise.resolve(core.subarray(0, early));
    const rest = early === 0 ? new Uint8Array(0) : core.subarray(early);
    const { kept } = await drainInto(withFirstRead(inputOf(rest), first));
    expect(kept.equals(early === 0 ? Buffer.alloc(0) : core)).toBe(true);
  });
});
