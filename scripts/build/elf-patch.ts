import fs from "node:fs";

/** Numbers of elf(5) that are used here. */
const ELF = {
  PT_LOAD: 1,
  PT_DYNAMIC: 2,
  PT_INTERP: 3,
  DT_NULL: 0,
  DT_HASH: 4,
  DT_STRTAB: 5,
  DT_RPATH: 15,
  DT_GNU_HASH: 0x6ffffef5,
};

interface Segment {
  type: number;
  /** Where its entry lies in the file. */
  at: number;
  offset: number;
  address: bigint;
  size: number;
}

interface Dynamic {
  tag: number;
  at: number;
  value: bigint;
}

function segmentsOf(file: Buffer): Segment[] {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error("not a 64-bit little-endian ELF");
  const table = Number(file.readBigUInt64LE(32));
  const entrySize = file.readUInt16LE(54);
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = table + index * entrySize;
    return {
      type: file.readUInt32LE(at),
      at,
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: file.readBigUInt64LE(at + 16),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function dynamicsOf(file: Buffer, segment: Segment): Dynamic[] {
  const found: Dynamic[] = [];
  for (let at = segment.offset; at < segment.offset + segment.size; at += 16) {
    const tag = Number(file.readBigUInt64LE(at));
    if (tag === ELF.DT_NULL) break;
    found.push({ tag, at, value: file.readBigUInt64LE(at + 8) });
  }
  return found;
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the executable has no ${what}`);
  return value;
}

/**
 * Give an executable another interpreter and an RPATH, in place: no byte moves and the size stays.
 *
 * The room comes from the old-style symbol hash table (DT_HASH), which glibc's loader does not read when
 * there is a DT_GNU_HASH: the two texts overwrite the table, and its dynamic entry becomes DT_RPATH.
 * patchelf has to move segments instead, and the arm64 executables that it makes of Bun's crash.
 *
 * @throws {Error} when the executable is not made as expected
 * @see elf(5)
 */
export function setLoaderInPlace(executable: string, interpreter: string, rpath: string): void {
  const file = fs.readFileSync(executable);
  const segments = segmentsOf(file);
  const interp = required(
    segments.find(({ type }) => type === ELF.PT_INTERP),
    "PT_INTERP",
  );
  const dynamics = dynamicsOf(
    file,
    required(
      segments.find(({ type }) => type === ELF.PT_DYNAMIC),
      "PT_DYNAMIC",
    ),
  );
  const entry = (tag: number, name: string): Dynamic =>
    required(
      dynamics.find((dynamic) => dynamic.tag === tag),
      name,
    );
  entry(ELF.DT_GNU_HASH, "DT_GNU_HASH");
  const hash = entry(ELF.DT_HASH, "DT_HASH");
  const strings = entry(ELF.DT_STRTAB, "DT_STRTAB");

  const load = required(
    segments.find(
      ({ type, address, size }) => type === ELF.PT_LOAD && hash.value >= address && hash.value < address + BigInt(size),
    ),
    "segment with its hash table",
  );
  const place = load.offset + Number(hash.value - load.address);
  // The table is: number of buckets, number of chains, buckets, chains; four bytes each.
  const room = 4 * (2 + file.readUInt32LE(place) + file.readUInt32LE(place + 4));
  const texts = Buffer.from(`${interpreter}\0${rpath}\0`);
  if (texts.length > room) throw new Error(`${texts.length} bytes do not fit into ${room}`);

  texts.copy(file, place);
  const interpreterBytes = Buffer.byteLength(interpreter) + 1;
  file.writeBigUInt64LE(BigInt(place), interp.at + 8);
  file.writeBigUInt64LE(hash.value, interp.at + 16);
  file.writeBigUInt64LE(hash.value, interp.at + 24);
  file.writeBigUInt64LE(BigInt(interpreterBytes), interp.at + 32);
  file.writeBigUInt64LE(BigInt(interpreterBytes), interp.at + 40);
  file.writeBigUInt64LE(BigInt(ELF.DT_RPATH), hash.at);
  // An RPATH is an offset from the string table; ours lies before it, and the addition wraps around.
  file.writeBigUInt64LE(BigInt.asUintN(64, hash.value + BigInt(interpreterBytes) - strings.value), hash.at + 8);

  const descriptor = fs.openSync(executable, "r+");
  try {
    fs.writeSync(descriptor, file, 0, file.length, 0);
  } finally {
    fs.closeSync(descriptor);
  }
}
