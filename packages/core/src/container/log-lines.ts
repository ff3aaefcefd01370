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
    const before = open.get(entry.stream) ?? [];
    if (entry.partial) {
      open.set(entry.stream, [...before, entry.message]);
      continue;
    }
    open.delete(entry.stream);
    messages.push(before.length === 0 ? entry.message : Buffer.concat([...before, entry.message]));
  }
  for (const parts of open.values()) messages.push(Buffer.concat(parts));
  return messages;
}

interface Entry {
  stream: string;
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
  return { stream, partial: tags[0] === "P", message: tagsEnd === -1 ? Buffer.alloc(0) : line.subarray(tagsEnd + 1) };
}

function tryReadDocker(line: Buffer): Entry | undefined {
  if (line[0] !== 0x7b) return undefined;
  try {
    const entry = JSON.parse(line.toString()) as { log?: unknown; stream?: unknown };
    if (typeof entry.log !== "string") return undefined;
    const whole = entry.log.endsWith("\n");
    const message = Buffer.from(whole ? entry.log.slice(0, -1) : entry.log);
    return { stream: String(entry.stream), partial: !whole, message };
  } catch {
    return undefined;
  }
}
