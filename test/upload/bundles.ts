import { createHash, randomBytes, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import yazl from "yazl";

/** Say what a made bundle holds. */
export interface BundleSpec {
  name?: string;
  namespace?: string;
  pod?: string;
  /** Bytes of random core. Default 10,000. */
  coreBytes?: number;
  /** Changes or replaces fields of the manifest; `undefined` leaves the manifest out, as IBM's composer does. */
  manifest?: Record<string, unknown> | undefined;
  /** Further keys of the dump info. */
  info?: Record<string, string>;
  /** Further entries. */
  entries?: Record<string, string>;
}

/** A bundle that lies in a spool. */
export interface MadeBundle {
  name: string;
  fileName: string;
  path: string;
  sizeBytes: number;
  crashId: string;
}

/** Write a bundle as the composer does: under a hidden name, then renamed. Its core is noise, so that nothing shrinks. */
export async function makeBundle(directory: string, spec: BundleSpec = {}): Promise<MadeBundle> {
  const crashId = randomUUID();
  const name = spec.name ?? `${crashId}-dump-1764000000-web-1-sleep-1-11`;
  const sizeBytes = spec.coreBytes ?? 10_000;
  const zip = new yazl.ZipFile();
  const info = {
    uuid: crashId,
    dump_file: `${name}.core`,
    timestamp: "1764000000",
    hostname: "web-1",
    exe: "sleep",
    real_pid: "1",
    signal: "11",
    node_hostname: "node-1",
    path: "!bin!sleep",
    ...spec.info,
  };
  zip.addBuffer(Buffer.from(JSON.stringify(info)), `${name}-dump-info.json`);
  const hash = createHash("sha256");
  zip.addReadStream(Readable.from(noise(sizeBytes, hash)), `${name}.core`, { compress: false });
  for (const [suffix, text] of Object.entries(spec.entries ?? {})) zip.addBuffer(Buffer.from(text), `${name}${suffix}`);
  const manifest = {
    schemaVersion: 1,
    crashId,
    bundle: `${name}.zip`,
    crashedAt: "2026-11-21T08:00:00.000Z",
    composer: { version: "0.1.0" },
    node: { nodeName: "node-1" },
    process: { pid: 4711, comm: "sleep", exe: "/bin/sleep" },
    signal: { number: 11, name: "SIGSEGV" },
    core: { entry: `${name}.core`, compression: "none", sizeBytes, storedBytes: sizeBytes, complete: true },
    ...(spec.namespace === undefined
      ? {}
      : { pod: { namespace: spec.namespace, name: spec.pod ?? "web-1", uid: "0000" } }),
    problems: [],
    ...spec.manifest,
  };
  if (!("manifest" in spec) || spec.manifest !== undefined)
    zip.addBuffer(Buffer.from(JSON.stringify(manifest)), `${name}-manifest.json`);
  zip.end();
  const hidden = join(directory, `.${name}.zip.partial`);
  await pipeline(zip.outputStream as unknown as Readable, createWriteStream(hidden, { mode: 0o600 }));
  const path = join(directory, `${name}.zip`);
  await rename(hidden, path);
  return { name, fileName: `${name}.zip`, path, sizeBytes: (await stat(path)).size, crashId };
}

function* noise(total: number, hash: { update(chunk: Buffer): unknown }): Generator<Buffer> {
  const block = randomBytes(Math.min(total, 1024 * 1024));
  for (let left = total; left > 0; left -= block.length) {
    const chunk = block.subarray(0, Math.min(left, block.length));
    // Every block differs in its first bytes, so that a swapped or repeated one is noticed.
    if (chunk.length >= 8) chunk.writeDoubleLE(left, 0);
    hash.update(chunk);
    yield Buffer.from(chunk);
  }
}
