import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import type { DumpInfo } from "../bundle/dump-info.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { encodeSeekTable, FRAME_BYTES, type FrameSize } from "../bundle/zstd-frames.ts";
import type { RawZipEntry } from "./raw-zip.ts";

/** Name of the sample's bundle, without `.zip`. */
export const SAMPLE_NAME = "11112222-3333-4444-5555-666677778888-dump-1795249571-worker-server-1-11";

/** Compress a core as composers do: independent frames and a seek table. */
export function makeFrames(core: Uint8Array, frameBytes = FRAME_BYTES): { bytes: Buffer; frames: FrameSize[] } {
  const parts: Buffer[] = [];
  const frames: FrameSize[] = [];
  for (let at = 0; at < core.length; at += frameBytes) {
    const piece = core.subarray(at, at + frameBytes);
    const stored = zstdCompressSync(piece);
    parts.push(stored);
    frames.push({ storedBytes: stored.length, coreBytes: piece.length });
  }
  return { bytes: Buffer.concat([...parts, encodeSeekTable(frames)]), frames };
}

/** A core of a few hundred bytes that starts like one and says nothing. */
export function makeTinyCore(sizeBytes = 4096): Buffer {
  const core = Buffer.alloc(sizeBytes);
  // ELF64, little-endian, ET_CORE, x86-64, no program headers.
  Buffer.from("7f454c4602010100000000000000000004003e0001000000", "hex").copy(core);
  core.writeUInt16LE(64, 52);
  core.writeUInt16LE(56, 54);
  for (let at = 64; at < sizeBytes; at += 1) core[at] = (at * 31) & 0xff;
  return core;
}

/** The manifest that belongs to a core's entry. */
export function makeManifest(core: Uint8Array, storedBytes: number, changes: Partial<Manifest> = {}): Manifest {
  return {
    schemaVersion: 1,
    crashId: SAMPLE_NAME.slice(0, 36),
    bundle: `${SAMPLE_NAME}.zip`,
    crashedAt: "2026-11-21T08:26:11.000Z",
    composer: { version: "0.1.0" },
    node: { nodeName: "worker-3", architecture: "x64" },
    process: { pid: 4211, pidInNamespace: 1, comm: "server", exe: "/usr/bin/server" },
    signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: "0x0" },
    core: {
      entry: `${SAMPLE_NAME}.core.zst`,
      compression: "zstd",
      sizeBytes: core.length,
      storedBytes,
      sha256: createHash("sha256").update(core).digest("hex"),
      expectedBytes: core.length,
      complete: true,
    },
    container: { id: "c".repeat(64), name: "app", runtime: "containerd", imageRef: "registry.example/server:1" },
    pod: { name: "worker", namespace: "payments", uid: "11111111-2222-3333-4444-555555555555" },
    problems: [],
    ...changes,
  };
}

/** What the dump info of {@link SAMPLE_NAME} says. @param coreEntry name of the core's entry */
export function sampleDumpInfo(coreEntry: string): DumpInfo {
  return {
    uuid: SAMPLE_NAME.slice(0, 36),
    dump_file: coreEntry,
    timestamp: "1795249571",
    hostname: "worker",
    exe: "server",
    real_pid: "1",
    signal: "11",
    node_hostname: "worker-3",
    path: "!usr!bin!server",
  };
}

/** The entries of a good bundle, to be changed by a test. */
export function makeSampleEntries(
  core: Uint8Array = makeTinyCore(),
  changes: Partial<Manifest> = {},
): { dumpInfo: RawZipEntry; core: RawZipEntry; log: RawZipEntry; manifest: RawZipEntry } {
  const { bytes } = makeFrames(core);
  const manifest = makeManifest(core, bytes.length, changes);
  const dumpInfo = sampleDumpInfo(`${SAMPLE_NAME}.core.zst`);
  return {
    dumpInfo: { name: `${SAMPLE_NAME}-dump-info.json`, data: Buffer.from(JSON.stringify(dumpInfo)), method: 8 },
    core: { name: `${SAMPLE_NAME}.core.zst`, data: bytes },
    log: { name: `${SAMPLE_NAME}-0.log`, data: Buffer.from("listening on 8080\nabout to fall over\n"), method: 8 },
    manifest: { name: `${SAMPLE_NAME}-manifest.json`, data: Buffer.from(JSON.stringify(manifest)), method: 8 },
  };
}
