import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { encodeSeekTable } from "@cdh/core/bundle/zstd-frames";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeManifest, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";

const MIB = 1024 * 1024;
/** Bytes of core in one of the shortest frames. */
const SHORTEST_CORE_BYTES = 255;
/** Magic; one segment, its size in one byte; one last block: so many times the byte 7. */
const SHORTEST_FRAME = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, SHORTEST_CORE_BYTES, 0xfb, 0x07, 0, 7]);
/** Takes long to normalise: NFC makes two characters of one. */
const EXPANDS = "\u{1d160}";
/** What the directory takes beside names. */
const DIRECTORY_ENTRY_BYTES = 46;

/** Bundles that readers accept, each as large in one respect as they accept at all. */
export const LARGEST_BUNDLES = {
  "frames in a seek table": () => {
    const frames = READ_LIMITS.seekTableFrames;
    return bundleOfFrames(Buffer.alloc(frames * SHORTEST_FRAME.length, SHORTEST_FRAME), frames, SHORTEST_CORE_BYTES);
  },
  "bytes of a frame": () => {
    const frame = zstdCompressSync(randomBytes(8 * MIB));
    return bundleOfFrames(Buffer.concat(Array.from({ length: 6 }, () => frame)), 6, 8 * MIB);
  },
  entries: () => bundleOfEntries(READ_LIMITS.entries),
  "names of entries": () => bundleOfEntries(Math.floor(READ_LIMITS.directoryBytes / (1024 + DIRECTORY_ENTRY_BYTES))),
} as const;

/** A bundle whose core is what its seek table says. */
function bundleOfFrames(frames: Buffer, count: number, coreBytes: number): Buffer {
  const storedBytes = frames.length / count;
  const table = encodeSeekTable(Array.from({ length: count }, () => ({ storedBytes, coreBytes })));
  const core = Buffer.concat([frames, table]);
  const plain = makeManifest(Buffer.alloc(16), core.length);
  const manifest = { ...plain, core: { ...plain.core, sizeBytes: count * coreBytes, storedBytes: core.length } };
  return makeRawZip([
    { name: `${SAMPLE_NAME}.core.zst`, data: core },
    { name: `${SAMPLE_NAME}-manifest.json`, data: Buffer.from(JSON.stringify(manifest)), method: 8 },
  ]);
}

/** A bundle of so many entries, with names as long as the directory has room for. */
function bundleOfEntries(count: number): Buffer {
  const core = Buffer.alloc(1000, 7);
  const plain = makeManifest(core, core.length);
  const manifest = { ...plain, core: { ...plain.core, entry: `${SAMPLE_NAME}.core`, compression: "none" } };
  const nameBytes = Math.floor((READ_LIMITS.directoryBytes - 1024) / count) - DIRECTORY_ENTRY_BYTES;
  return makeRawZip([
    ...Array.from({ length: count - 2 }, (_, at) => {
      const start = `${SAMPLE_NAME}-${count - at}-proc/`;
      return { name: `${start}${EXPANDS.repeat((nameBytes - start.length) >> 2)}`, data: Buffer.from("x") };
    }),
    { name: `${SAMPLE_NAME}.core`, data: core },
    { name: `${SAMPLE_NAME}-manifest.json`, data: Buffer.from(JSON.stringify(manifest)), method: 8 },
  ]);
}
