import { randomUUID } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { crc32 as crcOf } from "node:zlib";

/**
 * Publish a bundle of any size that takes no room: its core is a hole in the file. The zip is written by hand, because a
 * library would write the zeros. Nobody who only moves it reads the core's checksum.
 * @param head what the core begins with; with it the manifest comes last, where the composer writes it
 */
export async function publishSparse(
  coreDir: string,
  coreBytes: number,
  head?: Uint8Array,
): Promise<{ fileName: string; sizeBytes: number }> {
  const crashId = randomUUID();
  const name = `${crashId}-dump-1764000000-web-1-sleep-1-11`;
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 1,
      crashId,
      bundle: `${name}.zip`,
      crashedAt: "2026-11-21T08:00:00.000Z",
      composer: { version: "0.1.0" },
      node: { nodeName: "node-1" },
      process: { pid: 1, comm: "sleep", exe: "/bin/sleep" },
      signal: { number: 11, name: "SIGSEGV" },
      core: {
        entry: `${name}.core`,
        compression: "none",
        sizeBytes: coreBytes,
        storedBytes: coreBytes,
        complete: true,
      },
      problems: [],
    }),
  );
  const entries = [
    { name: Buffer.from(`${name}-manifest.json`), bytes: manifest.length, crc: crcOf(manifest), body: manifest },
    { name: Buffer.from(`${name}.core`), bytes: coreBytes, crc: 0, body: undefined },
  ];
  if (head !== undefined) entries.reverse();
  const path = join(coreDir, `${name}.zip`);
  const file = await open(path, "wx", 0o600);
  let offset = 0;
  const central: Buffer[] = [];
  for (const entry of entries) {
    central.push(centralOf(entry, offset));
    const local = localOf(entry);
    await file.write(local, 0, local.length, offset);
    const written = entry.body ?? head;
    if (written !== undefined) await file.write(written, 0, written.length, offset + local.length);
    offset += local.length + entry.bytes;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.concat([directory, endOf(entries.length, directory.length, offset)]);
  await file.write(end, 0, end.length, offset);
  await file.close();
  return { fileName: `${name}.zip`, sizeBytes: offset + end.length };
}

interface Entry {
  name: Buffer;
  bytes: number;
  crc: number;
}

const ZIP64 = 0xffffffff;

function localOf({ name, bytes, crc }: Entry): Buffer {
  const head = Buffer.alloc(30);
  head.writeUInt32LE(0x04034b50, 0);
  head.writeUInt16LE(45, 4);
  head.writeUInt32LE(crc, 14);
  head.writeUInt32LE(ZIP64, 18);
  head.writeUInt32LE(ZIP64, 22);
  head.writeUInt16LE(name.length, 26);
  head.writeUInt16LE(20, 28);
  return Buffer.concat([head, name, extraOf([bytes, bytes])]);
}

function centralOf({ name, bytes, crc }: Entry, offset: number): Buffer {
  const head = Buffer.alloc(46);
  head.writeUInt32LE(0x02014b50, 0);
  head.writeUInt16LE(45, 4);
  head.writeUInt16LE(45, 6);
  head.writeUInt32LE(crc, 16);
  head.writeUInt32LE(ZIP64, 20);
  head.writeUInt32LE(ZIP64, 24);
  head.writeUInt16LE(name.length, 28);
  head.writeUInt16LE(28, 30);
  head.writeUInt32LE(ZIP64, 42);
  return Buffer.concat([head, name, extraOf([bytes, bytes, offset])]);
}

/** The extra field of zip64. */
function extraOf(values: number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  for (const [index, value] of values.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  return extra;
}

function endOf(count: number, directoryBytes: number, offset: number): Buffer {
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(45, 12);
  end64.writeUInt16LE(45, 14);
  end64.writeBigUInt64LE(BigInt(count), 24);
  end64.writeBigUInt64LE(BigInt(count), 32);
  end64.writeBigUInt64LE(BigInt(directoryBytes), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + directoryBytes), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(0xffff, 8);
  end.writeUInt16LE(0xffff, 10);
  end.writeUInt32LE(ZIP64, 12);
  end.writeUInt32LE(ZIP64, 16);
  return Buffer.concat([end64, locator, end]);
}
