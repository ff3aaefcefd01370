import { crc32, deflateRawSync } from "node:zlib";

/** One entry of a zip that may lie about anything. What is left out is right. */
export interface RawZipEntry {
  name: string | Buffer;
  data?: Buffer;
  /** Compression method; 0 and 8 are really done. */
  method?: number;
  /** The stored bytes, instead of what the method makes of the data. */
  stored?: Buffer;
  crc32?: number;
  sizeBytes?: number;
  storedBytes?: number;
  flags?: number;
  /** Unix mode with its file type. */
  mode?: number;
  localName?: string;
  localMethod?: number;
  localSignature?: number;
  /** Where the directory says that the local header is. */
  headerOffset?: number;
  directorySignature?: number;
}

/** What the end of the zip says; what is left out is right. */
export interface RawZipOptions {
  directoryOffset?: number;
  entryCount?: number;
  /** Put a zip64 locator before the end that points here. */
  zip64Offset?: number;
  comment?: Buffer;
}

/** Write a zip as asked, lies included, for tests that hold readers to hostile input. */
export function makeRawZip(entries: readonly RawZipEntry[], options: RawZipOptions = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const data = entry.data ?? Buffer.alloc(0);
    const method = entry.method ?? 0;
    const stored = entry.stored ?? (method === 8 ? deflateRawSync(data) : data);
    const facts = {
      method,
      stored,
      crc: entry.crc32 ?? crc32(data),
      sizeBytes: entry.sizeBytes ?? data.length,
      storedBytes: entry.storedBytes ?? stored.length,
    };
    const local = localHeader(entry, facts);
    directory.push(directoryHeader(entry, facts, entry.headerOffset ?? offset));
    parts.push(local, stored);
    offset += local.length + stored.length;
  }
  const all = Buffer.concat(directory);
  const end = endRecord(
    options.entryCount ?? entries.length,
    all.length,
    options.directoryOffset ?? offset,
    options.comment,
  );
  return Buffer.concat([
    ...parts,
    all,
    ...(options.zip64Offset === undefined ? [] : [zip64Locator(options.zip64Offset)]),
    end,
  ]);
}

interface Facts {
  method: number;
  crc: number;
  sizeBytes: number;
  storedBytes: number;
}

function localHeader(entry: RawZipEntry, facts: Facts): Buffer {
  const name = Buffer.from(entry.localName ?? entry.name);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(entry.localSignature ?? 0x04034b50, 0);
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(entry.flags ?? 0x800, 6);
  header.writeUInt16LE(entry.localMethod ?? facts.method, 8);
  header.writeUInt32LE(facts.crc, 14);
  header.writeUInt32LE(facts.storedBytes, 18);
  header.writeUInt32LE(facts.sizeBytes, 22);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name]);
}

function directoryHeader(entry: RawZipEntry, facts: Facts, headerOffset: number): Buffer {
  const name = Buffer.from(entry.name);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(entry.directorySignature ?? 0x02014b50, 0);
  // Made by Unix, so that the mode counts.
  header.writeUInt16LE((3 << 8) | 20, 4);
  header.writeUInt16LE(20, 6);
  header.writeUInt16LE(entry.flags ?? 0x800, 8);
  header.writeUInt16LE(facts.method, 10);
  // 2026-11-21, midnight, in the format of FAT.
  header.writeUInt16LE((46 << 9) | (11 << 5) | 21, 14);
  header.writeUInt32LE(facts.crc, 16);
  header.writeUInt32LE(facts.storedBytes, 20);
  header.writeUInt32LE(facts.sizeBytes, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt32LE(((entry.mode ?? 0o100444) << 16) >>> 0, 38);
  header.writeUInt32LE(headerOffset, 42);
  return Buffer.concat([header, name]);
}

function endRecord(
  entryCount: number,
  directoryBytes: number,
  directoryOffset: number,
  comment: Buffer = Buffer.alloc(0),
): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entryCount, 8);
  end.writeUInt16LE(entryCount, 10);
  end.writeUInt32LE(directoryBytes, 12);
  end.writeUInt32LE(directoryOffset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([end, comment]);
}

function zip64Locator(offset: number): Buffer {
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset), 8);
  locator.writeUInt32LE(1, 16);
  return locator;
}
