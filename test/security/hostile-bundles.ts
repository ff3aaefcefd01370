import { zstdCompressSync } from "node:zlib";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import { makeRawZip, type RawZipEntry } from "@cdh/core/testing/raw-zip";
import { makeManifest, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";

const MIB = 1024 * 1024;
const ALLOWED_BYTES = READ_LIMITS.manifest.bytes;
const MANIFEST = `${SAMPLE_NAME}-manifest.json`;
const CORE = Buffer.alloc(1000, 7);

/** A bundle that is made to cost its readers more than it cost its maker. */
export interface HostileBundle {
  name: string;
  zip: () => Buffer;
  /** What readers must refuse; what is merely as large as allowed is read. */
  refused?: "manifest" | "core";
}

/** A core that is stored as it is, and the manifest that belongs to it. */
function bundleOf(manifest: object | string, more: readonly RawZipEntry[] = []): Buffer {
  const text = typeof manifest === "string" ? manifest : JSON.stringify(manifest);
  return makeRawZip([
    { name: `${SAMPLE_NAME}.core`, data: CORE },
    ...more,
    { name: MANIFEST, data: Buffer.from(text), method: 8 },
  ]);
}

function manifestOf(changes: object = {}): object {
  const plain = makeManifest(CORE, CORE.length);
  return { ...plain, core: { ...plain.core, entry: `${SAMPLE_NAME}.core`, compression: "none" }, ...changes };
}

/** A manifest whose one list is as long as so many bytes allow; 16 MiB are some 16 KiB of deflate. */
function longList(key: string, item: string, bytes: number): string {
  const head = JSON.stringify(manifestOf()).slice(0, -1);
  const count = Math.floor((bytes - head.length - 32) / (item.length + 1));
  return `${head},"${key}":[${`${item},`.repeat(count - 1)}${item}]}`;
}

/** A core that is nothing but a seek table of so many frames. */
function seekTable(frames: number, storedBytes: number, content = Buffer.alloc(0)): Buffer {
  const table = Buffer.alloc(8 + 8 * frames + 9);
  table.writeUInt32LE(0x184d2a5e, 0);
  table.writeUInt32LE(8 * frames + 9, 4);
  for (let index = 0; index < frames; index += 1) {
    table.writeUInt32LE(storedBytes, 8 + 8 * index);
    table.writeUInt32LE(FRAME_BYTES, 12 + 8 * index);
  }
  table.writeUInt32LE(frames, 8 + 8 * frames);
  table.writeUInt32LE(0x8f92eab1, 13 + 8 * frames);
  return Buffer.concat([content, table]);
}

function zstdBundle(core: Buffer, sizeBytes: number): Buffer {
  const plain = makeManifest(CORE, core.length);
  const manifest = { ...plain, core: { ...plain.core, sizeBytes, storedBytes: core.length } };
  return makeRawZip([
    { name: `${SAMPLE_NAME}.core.zst`, data: core },
    { name: MANIFEST, data: Buffer.from(JSON.stringify(manifest)), method: 8 },
  ]);
}

/** Structured attacks on whoever reads a bundle; each was found to cost a reader gigabytes, minutes or its life. */
export const HOSTILE_BUNDLES: readonly HostileBundle[] = [
  { name: "modules-16-mib", zip: () => bundleOf(longList("modules", "{}", 16 * MIB)), refused: "manifest" },
  { name: "modules", zip: () => bundleOf(longList("modules", "{}", ALLOWED_BYTES)), refused: "manifest" },
  { name: "threads", zip: () => bundleOf(longList("threads", '{"registers":{}}', ALLOWED_BYTES)), refused: "manifest" },
  { name: "unknown-texts", zip: () => bundleOf(longList("unknown", '""', ALLOWED_BYTES)), refused: "manifest" },
  {
    name: "deep",
    zip: () => bundleOf(`${JSON.stringify(manifestOf()).slice(0, -1)},"x":${"[".repeat(9000)}${"]".repeat(9000)}}`),
    refused: "manifest",
  },
  {
    name: "as-many-keys-as-allowed",
    zip: () =>
      bundleOf(
        manifestOf({
          x: Object.fromEntries(Array.from({ length: READ_LIMITS.manifest.elements - 200 }, (_, at) => [`k${at}`, at])),
        }),
      ),
  },
  {
    name: "as-many-modules-as-allowed",
    zip: () =>
      bundleOf(
        manifestOf({
          modules: Array.from({ length: 45_000 }, (_, at) => ({ path: `/m${at}`, start: "0x1000", end: "0x2000" })),
        }),
      ),
  },
  { name: "seek-table-of-nothing", zip: () => zstdBundle(seekTable(8_388_600, 0), 2 ** 43), refused: "core" },
  {
    name: "seek-table-as-long-as-allowed",
    zip: () => zstdBundle(seekTable(READ_LIMITS.seekTableFrames, 0), READ_LIMITS.seekTableFrames * FRAME_BYTES),
    refused: "core",
  },
  {
    name: "frames-without-table",
    zip: () => {
      const frame = zstdCompressSync(Buffer.alloc(256 * MIB));
      return zstdBundle(Buffer.concat(Array.from({ length: 64 }, () => frame)), 1 * MIB);
    },
    refused: "core",
  },
  {
    name: "entries",
    zip: () =>
      bundleOf(
        manifestOf(),
        Array.from({ length: 9990 }, (_, at) => ({ name: `${SAMPLE_NAME}-${at}-proc/x`, data: Buffer.from("x") })),
      ),
  },
  {
    name: "logs",
    zip: () =>
      bundleOf(
        manifestOf(),
        Array.from({ length: 250 }, (_, at) => ({
          name: `${SAMPLE_NAME}-${at}.log`,
          data: Buffer.alloc(MIB, "\u0001"),
          method: 8,
        })),
      ),
  },
];
