import { constants } from "node:fs";
import { open, readdir, readlink, type FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { errnoOf } from "../base/errors.ts";
import { onHost, type Roots } from "../base/roots.ts";
import { closeUnless } from "../files/regular-file.ts";
import { isContainerId } from "../kernel/cgroup.ts";
import { HeldDirectory } from "./bounded-file.ts";
import { missingBecause, within, type Collected } from "./collected.ts";
import { unpackTail } from "./compressed-log.ts";
import { parseLogLines } from "./log-lines.ts";
import { findInLog, type LogSearch } from "./log-search.ts";

/** Say which log to read. */
export interface LogTailOptions {
  roots: Roots;
  /** Folder of the container's log files on the node: `/var/log/pods/<namespace>_<pod>_<uid>/<container>`. */
  directory: string;
  lines: number;
  /** Bytes read of one file, from its end. Default 2 MiB. */
  maxBytes?: number;
  /** Looked for in what the current start wrote, also far above the last lines; as far back as `maxBytes` go. */
  search?: LogSearch | undefined;
  signal?: AbortSignal;
}

/** The last lines of a container's log. */
export interface LogTail {
  /** Messages of both streams in the order they were written, each ended by a newline. */
  text: Buffer;
  /** Files that they came from, oldest first. */
  files: string[];
  /** How often the container was started again: the kubelet counts it in the file's name. */
  restartCount: number;
  /** What the search found. */
  found?: string[];
}

const DEFAULT_MAX_BYTES = 2 * 1024 * 1024;
const FIRST_WINDOW_BYTES = 65536;
const MAX_FILES = 1000;
/** The current file, two rotated before it, and the same of the previous start. */
const MAX_FILES_READ = 6;
const SEARCHED_FILES = 2;

/**
 * Read the last lines of a container's log from the kubelet's files: the current file from its end, then the rotated
 * ones, gzip or not, then those of the previous start, until there are enough. A file of any size costs `maxBytes`. Links are not
 * followed, as a container that may write to /var/log could point them anywhere; docker's own are, into its folder.
 * Never rejects.
 */
export async function readLogTail(options: LogTailOptions): Promise<Collected<LogTail>> {
  try {
    return await within(read(options), options.signal);
  } catch (error) {
    return missingBecause(error, options.directory);
  }
}

async function read(options: LogTailOptions): Promise<Collected<LogTail>> {
  const podFolder = dirname(options.directory);
  // Each step from the kubelet's own folder downwards is opened without following a link.
  const pods = await HeldDirectory.open(onHost(options.roots, dirname(podFolder)));
  try {
    const pod = await HeldDirectory.open(`${pods.path}/${basename(podFolder)}`);
    try {
      const folder = await HeldDirectory.open(`${pod.path}/${basename(options.directory)}`);
      try {
        return await readFolder(options, folder.path);
      } finally {
        await folder.close();
      }
    } finally {
      await pod.close();
    }
  } finally {
    await pods.close();
  }
}

async function readFolder(options: LogTailOptions, folder: string): Promise<Collected<LogTail>> {
  const files = sortLogFiles(await readdir(folder));
  const newest = files[0];
  if (newest === undefined) return { missing: "CDH_NOT_FOUND", detail: `no log file in ${options.directory}` };
  const used: string[] = [];
  let messages: Buffer[] = [];
  for (const file of files.slice(0, MAX_FILES_READ)) {
    if (messages.length >= options.lines || newest.start - file.start > 1) break;
    const wanted = options.lines - messages.length;
    const handle = await openLog(options.roots, `${folder}/${file.name}`);
    if (handle === undefined) continue;
    try {
      const readLines = file.compressed ? readCompressedTail : readTail;
      const found = await readLines(handle, wanted, options.maxBytes ?? DEFAULT_MAX_BYTES, options.signal);
      if (found.length > 0) used.unshift(file.name);
      messages = [...found, ...messages];
    } finally {
      await handle.close();
    }
  }
  const text = Buffer.concat(messages.flatMap((message) => [message, Buffer.from("\n")]));
  const found = await searchFiles(options, folder, files);
  return {
    value: { text, files: used, restartCount: newest.start, ...(found === undefined ? {} : { found }) },
  };
}

/** Look through the file being written, then the one rotated last, of the start that crashed. */
async function searchFiles(
  { roots, search, maxBytes = DEFAULT_MAX_BYTES }: LogTailOptions,
  folder: string,
  files: readonly LogFile[],
): Promise<string[] | undefined> {
  if (search === undefined) return undefined;
  const plain = files.filter(({ start, compressed }) => start === files[0]?.start && !compressed);
  let left = maxBytes;
  for (const file of plain.slice(0, SEARCHED_FILES)) {
    const handle = left > 0 ? await openLog(roots, `${folder}/${file.name}`) : undefined;
    if (handle === undefined) continue;
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, left);
      left -= length;
      const found = findInLog(await readRange(handle, size - length, length), search);
      if (found !== undefined) return found;
    } finally {
      await handle.close();
    }
  }
  return undefined;
}

interface LogFile {
  name: string;
  /** Which start of the container wrote it, from 0. */
  start: number;
  /** When it was rotated; empty for the one being written. */
  rotated: string;
  /** The kubelet packs all rotated files but the latest. */
  compressed: boolean;
}

/**
 * Newest first: the later start, then the current file, then the latest rotated. While the kubelet packs a file, both
 * are there: the plain one is taken.
 */
function sortLogFiles(names: readonly string[]): LogFile[] {
  const known = new Set(names);
  return names
    .slice(0, MAX_FILES)
    .flatMap((name) => {
      const match = /^(\d{1,9})\.log(?:\.(\d{8}-\d{6}|\d{1,3})(\.gz)?)?$/.exec(name);
      if (match === null) return [];
      const compressed = match[3] !== undefined;
      if (compressed && known.has(name.slice(0, -".gz".length))) return [];
      return [{ name, start: Number(match[1]), rotated: match[2] ?? "", compressed }];
    })
    .sort((a, b) => b.start - a.start || compareRotated(a.rotated, b.rotated));
}

function compareRotated(a: string, b: string): number {
  if (a === "" || b === "") return a === "" ? -1 : 1;
  return a < b ? 1 : -1;
}

/** Open a log, or docker's file behind the kubelet's link to it. Undefined when it is no plain file. */
async function openLog(roots: Roots, path: string): Promise<FileHandle | undefined> {
  try {
    return await openPlain(path);
  } catch (error) {
    if (errnoOf(error) !== "ELOOP") throw error;
  }
  const target = await readlink(path);
  const match =
    /^(?:\/var\/lib\/docker|\/var\/snap\/docker\/common\/var-lib-docker)\/containers\/([0-9a-f]{64})\/([0-9a-f]{64})-json\.log$/.exec(
      target,
    );
  const id = match?.[1];
  if (id === undefined || id !== match?.[2] || !isContainerId(id)) return undefined;
  return await openPlain(onHost(roots, target));
}

async function openPlain(path: string): Promise<FileHandle | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  return await closeUnless(await open(path, flags), (stats) => stats.isFile());
}

/** Read ever larger pieces from the end until they hold enough lines. */
async function readTail(handle: FileHandle, lines: number, maxBytes: number): Promise<Buffer[]> {
  const { size } = await handle.stat();
  for (let window = Math.min(FIRST_WINDOW_BYTES, maxBytes); ; window = Math.min(window * 4, maxBytes)) {
    const from = Math.max(0, size - window);
    const bytes = await readRange(handle, from, size - from);
    // A piece that starts right behind a newline starts with a whole line, but that takes one more byte to know.
    const messages = parseLogLines(bytes, from === 0);
    if (messages.length > lines || from === 0 || window === maxBytes) return messages.slice(-lines);
  }
}

async function readCompressedTail(
  handle: FileHandle,
  lines: number,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Buffer[]> {
  const tail = await unpackTail(handle, maxBytes, signal);
  return tail === undefined ? [] : parseLogLines(tail.bytes, tail.whole).slice(-lines);
}

async function readRange(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, from + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
