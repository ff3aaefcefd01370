import { afterEach, expect, it, vi } from "vitest";
import { takeMemory } from "./take-memory.ts";

const HANGS = 0x7000_0000_0000n;

/** Memory of which one page is somebody's who never answers. */
vi.mock("./read-memory.ts", () => ({
  readMemory: (_mem: number, address: bigint, length: number): Promise<Buffer | undefined> =>
    address >= HANGS ? new Promise(() => {}) : Promise.resolve(Buffer.alloc(length, 1)),
  wordAt: () => undefined,
}));
afterEach(() => vi.restoreAllMocks());

it("what was read of the stacks before one hangs is kept, and told to be a part", async () => {
  const mapping = (start: bigint): object => ({
    start,
    end: start + 8192n,
    isExecutable: false,
    isWritable: true,
    device: "",
    inode: "",
    path: "",
  });
  const [first, second] = [0x1000_0000n, HANGS];
  const held = { mem: 3, mappings: [mapping(first), mapping(second)], files: [], places: {}, refused: [] };
  const threads = [
    { tid: 1, crashed: true, sp: first + 4096n },
    { tid: 2, sp: second + 4096n },
  ];
  const taken = await takeMemory(held as never, { threads } as never, AbortSignal.timeout(50));
  expect(taken.isWhole).toBe(false);
  expect(taken.chunks.map(({ address }) => address)).toEqual([first + 4096n - 128n]);
});
