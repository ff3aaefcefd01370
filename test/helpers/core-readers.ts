import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";

/** What elfutils reads out of a core: the other opinion that our own notes reader is held against. */
export interface ElfutilsNotes {
  signal: number;
  code: number;
  faultAddress: string | undefined;
  senderPid: number | undefined;
  /** In the core's order: the crashed thread first. Registers by elfutils' names (`rip`, `rsp`, `pc`, `sp`), as numbers. */
  threads: { tid: number; registers: Record<string, bigint> }[];
  /** Mapped files of NT_FILE: path, start and end address. */
  files: { path: string; start: bigint; end: bigint }[];
}

function outputOf(command: string, args: string[]): string {
  const result = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  if (result.error !== undefined || result.status !== 0) {
    throw new Error(`${command} ${args.join(" ")}: ${result.error?.message ?? result.stderr}`);
  }
  return result.stdout;
}

/** Read a core's notes with `eu-readelf -n`. */
export function readNotesWithElfutils(core: string): ElfutilsNotes {
  const text = outputOf("eu-readelf", ["-n", core]);
  const notes: ElfutilsNotes = {
    signal: 0,
    code: 0,
    faultAddress: undefined,
    senderPid: undefined,
    threads: [],
    files: [],
  };
  const sections = text.split(/^ {2}(?=\S+\s+\d+\s+[A-Z])/m);
  for (const section of sections) {
    const type = /^\S+\s+\d+\s+(\S+)/.exec(section)?.[1];
    if (type === "PRSTATUS") {
      const registers = [...section.matchAll(/\b([a-z][a-z0-9_]*):\s+(0x[0-9a-f]+|-?\d+)/g)].map(
        ([, name = "", value = "0"]) => [name, BigInt(value)],
      );
      notes.threads.push({
        tid: Number(/\bpid: (\d+)/.exec(section)?.[1]),
        registers: Object.fromEntries(registers) as Record<string, bigint>,
      });
    } else if (type === "SIGINFO") {
      notes.signal = Number(/si_signo: (\d+)/.exec(section)?.[1]);
      notes.code = Number(/si_code: (-?\d+)/.exec(section)?.[1]);
      notes.faultAddress = /fault address: (0x[0-9a-f]+|\(nil\)|0)/.exec(section)?.[1];
      const sender = /sender PID: (\d+)/.exec(section)?.[1];
      notes.senderPid = sender === undefined ? undefined : Number(sender);
    } else if (type === "FILE") {
      for (const [, start = "", end = "", path = ""] of section.matchAll(
        /^\s+([0-9a-f]+)-([0-9a-f]+) [0-9a-f]+ \d+\s+(.*)$/gm,
      )) {
        notes.files.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), path });
      }
    }
  }
  return notes;
}

/** List the modules of a core with their build-ids, as `eu-unstrip -n` finds them: start address → build-id. */
export function buildIdsWithElfutils(core: string): Map<bigint, string> {
  const found = new Map<bigint, string>();
  for (const line of outputOf("eu-unstrip", ["-n", `--core=${core}`]).split("\n")) {
    const match = /^(0x[0-9a-f]+)\+0x[0-9a-f]+ ([0-9a-f]{8,})@/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) found.set(BigInt(match[1]), match[2]);
  }
  return found;
}

/** Ask gdb about a core, in batch, without anybody's start-up files. */
export function gdb(executable: string, core: string, ...commands: string[]): string {
  const script = commands.flatMap((command) => ["-ex", command]);
  const result = spawnSync("gdb", ["-nx", "-nh", "-q", "-batch", ...script, executable, core], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8", DEBUGINFOD_URLS: "" },
  });
  return `${result.stdout}${result.stderr}`;
}

/** Read memory of the crashed process out of a core file, through its program headers. @throws {Error} when it is not in it */
export function readCoreMemory(core: string, address: bigint, length: number): Buffer {
  const fd = openSync(core, "r");
  try {
    const header = Buffer.alloc(64);
    readSync(fd, header, 0, 64, 0);
    const table = Buffer.alloc(56 * header.readUInt16LE(56));
    readSync(fd, table, 0, table.length, Number(header.readBigUInt64LE(32)));
    for (let at = 0; at < table.length; at += 56) {
      const [offset, start, size] = [
        table.readBigUInt64LE(at + 8),
        table.readBigUInt64LE(at + 16),
        table.readBigUInt64LE(at + 32),
      ];
      if (table.readUInt32LE(at) !== 1 || address < start || address + BigInt(length) > start + size) continue;
      const bytes = Buffer.alloc(length);
      if (readSync(fd, bytes, 0, length, Number(offset + (address - start))) !== length)
        throw new Error(`${core} is cut short`);
      return bytes;
    }
    throw new Error(`0x${address.toString(16)} is not in ${core}`);
  } finally {
    closeSync(fd);
  }
}
