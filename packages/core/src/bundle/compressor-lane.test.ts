import { Transform } from "node:stream";
import { expect, it } from "vitest";
import { tryMisuseOfZlib } from "./compressor-lane.ts";
import { makeFrameStream } from "./frame-compressor.ts";

it.each(["zstd", "deflate"] as const)("zlib keeps its place in the output as is relied on: %s", async (compression) => {
  expect(await tryMisuseOfZlib(makeFrameStream(compression))).toBeUndefined();
});

it("a stream that keeps it elsewhere is told by name", async () => {
  const passing = (): Transform => new Transform({ transform: (chunk, _encoding, done) => done(null, chunk) });
  expect(await tryMisuseOfZlib(passing())).toMatch(/zlib's stream has no number _outOffset/);
  const other = Object.assign(passing(), { _outOffset: 3 });
  expect(await tryMisuseOfZlib(other)).toBe("zlib's _outOffset is 0 after a frame of 5 bytes");
});
