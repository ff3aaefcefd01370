/** One stretch of a process's memory, a line of `/proc/<pid>/maps`. */
export interface Mapping {
  start: bigint;
  end: bigint;
  isExecutable: boolean;
  isWritable: boolean;
  /** Of the file's file system, `8:1`. Empty where nothing can run: there may be 65,000 of them, and memory is short. */
  device: string;
  /** Empty as the device. */
  inode: string;
  /** Empty for memory without a file, and as the device; `[vdso]` and the like for the kernel's own. */
  path: string;
}

const LINE = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) .(.)(.). [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$/;
/** The kernel's own limit on mappings, vm.max_map_count, is 65,530 unless told otherwise. */
const MAPPINGS_MAX = 65_536;

/** Longer than any line of the kernel's that has a path. */
const LINE_MAX_BYTES = 8192;
const NEWLINE = 0x0a;

/** Read `/proc/<pid>/maps`, in ascending order. Total: what is no such line is passed by. @see proc_pid_maps(5) */
export function parseMaps(bytes: Uint8Array): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of linesOf(bytes, isHexDigit)) {
    if (mappings.length === MAPPINGS_MAX) break;
    const [, low, high, writable, executable, major = "", minor = "", inode = "", path = ""] = LINE.exec(line) ?? [];
    if (low === undefined || high === undefined) continue;
    const isExecutable = executable === "x";
    mappings.push({
      start: BigInt(`0x${low}`),
      end: BigInt(`0x${high}`),
      isWritable: writable === "w",
      isExecutable,
      device: isExecutable ? `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}` : "",
      inode: isExecutable ? inode : "",
      path: isExecutable ? path : "",
    });
  }
  return mappings;
}

const BEGINNING = /^([0-9a-f]{1,16})-[0-9a-f]{1,16} .{4} 0+ ([0-9a-f]+):([0-9a-f]+) (\d+) /;

/**
 * Find where files are mapped from their beginnings on, in ascending order. Total.
 * @param wanted files as `device inode`, written as {@link Mapping} has them
 */
export function findBeginnings(bytes: Uint8Array, wanted: ReadonlySet<string>): Map<string, bigint[]> {
  const found = new Map<string, bigint[]>();
  for (const line of linesOf(bytes, isHexDigit)) {
    const [, start, major = "", minor = "", inode = ""] = BEGINNING.exec(line) ?? [];
    const file = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)} ${inode}`;
    if (start === undefined || !wanted.has(file)) continue;
    found.set(file, [...(found.get(file) ?? []).slice(-BEGINNINGS_MAX), BigInt(`0x${start}`)]);
  }
  return found;
}

/** A program may map its data ten thousand times. */
const BEGINNINGS_MAX = 1000;

/**
 * Give the lines of a text one by one, each byte as one character. No text of the whole is made; lines too long are left out,
 * as are those whose first byte is not wanted.
 */
function* linesOf(bytes: Uint8Array, wants: (first: number) => boolean = () => true): Generator<string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < buffer.length;) {
    const found = buffer.indexOf(NEWLINE, at);
    const end = found === -1 ? buffer.length : found;
    if (end - at <= LINE_MAX_BYTES && wants(buffer[at] ?? NEWLINE)) yield buffer.toString("latin1", at, end);
    at = end + 1;
  }
}

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);
}

/** Find the mapping that an address is in, or the next one above it. */
export function findMapping(mappings: readonly Mapping[], address: bigint): Mapping | undefined {
  let [low, high] = [0, mappings.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((mappings[middle]?.end ?? 0n) <= address) low = middle + 1;
    else high = middle;
  }
  return mappings[low];
}

/** Read which type of file system each mount has, by its id. @see proc_pid_mountinfo(5) */
export function parseMountTypes(mountinfo: Uint8Array): Map<string, string> {
  const types = new Map<string, string>();
  for (const line of linesOf(mountinfo)) {
    const [before = "", after = ""] = line.split(" - ");
    const [id, type] = [before.split(" ")[0], after.split(" ")[0]];
    if (id !== undefined && type !== undefined && type !== "") types.set(id, type);
  }
  return types;
}

/** Read which type the file system of each device is, `8:1` to `ext4`. @see proc_pid_mountinfo(5) */
export function parseFileSystems(mountinfo: Uint8Array): Map<string, string> {
  const types = new Map<string, string>();
  for (const line of linesOf(mountinfo)) {
    // Up to the lone dash the fields vary in number.
    const [before = "", after = ""] = line.split(" - ");
    const [device, type] = [before.split(" ")[2], after.split(" ")[0]];
    if (device !== undefined && type !== undefined && type !== "") types.set(device, type);
  }
  return types;
}
