import { tryParseObject } from "./json.ts";

const NEWLINE = 10;
const SPACE = 32;

/**
 * Read log lines in the format of CRI (`time stream P|F message`) or of docker's json-file driver, both streams in the
 * order they were written. Partial lines (`P`) of a stream are joined with what follows on the same stream. A line that
 * is neither stays as it is. Total; messages are bytes, since nothing says that they are UTF-8.
 * @param startsWhole false when the piece may begin in the middle of a line, which is then left out
 * @see https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */
export function parseLogLines(bytes: Uint8Array, startsWhole = true): Buffer[] {
  const lines = splitLines(bytes);
  if (!startsWhole) lines.shift();
  const messages: Buffer[] = [];
  /** What came of an unfinished line, by stream; its place among the messages is where it ends. */
  const open = new Map<string, Buffer[]>();
  for (const line of lines) {
    const entry = readEntry(line);
    const before = open.get(entry.stream);
    if (entry.partial) {
      // Added to, not copied: a container that writes byte by byte makes a partial line of each.
      if (before === undefined) open.set(entry.stream, [entry.message]);
      else before.push(entry.message);
      continue;
    }
    open.delete(entry.stream);
    messages.push(before === undefined ? entry.message : Buffer.concat([...before, entry.message]));
  }
  for (const parts of open.values()) messages.push(Buffer.concat(parts));
  return messages;
}

/** One line of a log, by itself. */
export interface LogLine {
  /** `stdout` or `stderr`; empty when nothing says it. */
  stream: string;
  message: Buffer;
  /** When it was written, epoch milliseconds; absent when nothing says it. */
  atMs?: number;
}

/** Read one line, in either format, with its time. Total; a partial line is one of its own. */
export function parseLogLine(line: Buffer): LogLine {
  const { stream, message, time } = readEntry(line);
  const atMs = time === undefined ? Number.NaN : Date.parse(time);
  return { stream, message, ...(Number.isNaN(atMs) ? {} : { atMs }) };
}

interface Entry {
  stream: string;
  /** RFC 3339. */
  time?: string;
  partial: boolean;
  message: Buffer;
}

function splitLines(bytes: Uint8Array): Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lines: Buffer[] = [];
  for (let at = 0; at < buffer.length;) {
    const end = buffer.indexOf(NEWLINE, at);
    lines.push(buffer.subarray(at, end === -1 ? buffer.length : end));
    if (end === -1) break;
    at = end + 1;
  }
  return lines;
}

function readEntry(line: Buffer): Entry {
  return tryReadCri(line) ?? tryReadDocker(line) ?? { stream: "", partial: false, message: line };
}

function tryReadCri(line: Buffer): Entry | undefined {
  const afterTime = line.indexOf(SPACE);
  const afterStream = line.indexOf(SPACE, afterTime + 1);
  if (afterTime < 20 || afterTime > 40 || afterStream === -1) return undefined;
  const stream = line.toString("latin1", afterTime + 1, afterStream);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tagsEnd = line.indexOf(SPACE, afterStream + 1);
  const tags = line.toString("latin1", afterStream + 1, tagsEnd === -1 ? line.length : tagsEnd).split(":");
  if (tags[0] !== "F" && tags[0] !== "P") return undefined;
  const time = line.toString("latin1", 0, afterTime);
  return {
    stream,
    time,
    partial: tags[0] === "P",
    message: tagsEnd === -1 ? Buffer.alloc(0) : line.subarray(tagsEnd + 1),
  };
}

function tryReadDocker(line: Buffer): Entry | undefined {
  if (line[0] !== 0x7b) return undefined;
  const entry = tryParseObject(line.toString());
  if (typeof entry?.["log"] !== "string") return undefined;
  const whole = entry["log"].endsWith("\n");
  const message = Buffer.from(whole ? entry["log"].slice(0, -1) : entry["log"]);
  const time = entry["time"];
  return {
    stream: String(entry["stream"]),
    ...(typeof time === "string" ? { time } : {}),
    partial: !whole,
    message,
  };
}
