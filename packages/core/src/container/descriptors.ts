import { readdir, readlink } from "node:fs/promises";
import { errnoOf } from "../base/errors.ts";
import { within } from "./collected.ts";

const MAX_FDS = 4096;
const FDS_MAX_BYTES = 512 * 1024;
const FDS_AT_ONCE = 64;
/** Slots of a table of descriptors whose folder is read whole; of a larger one the first numbers are tried. */
const MAX_FD_SLOTS = 65_536;

/**
 * List a process's open descriptors: one line for each, `3 -> /path`, blanks and control bytes in paths written as in maps.
 * @param directory the process's, in /proc @param slots of its table of descriptors, `FDSize` of its status
 * @throws the signal's reason; what the file system throws
 */
export async function listDescriptors(directory: string, slots: number, signal?: AbortSignal): Promise<Buffer> {
  // A folder of a million names takes a hundred megabytes to read.
  const isHuge = slots > MAX_FD_SLOTS;
  const names = isHuge
    ? Array.from({ length: MAX_FDS }, (_, fd) => String(fd))
    : (await within(readdir(`${directory}/fd`), signal)).sort((a, b) => Number(a) - Number(b));
  const lines: string[] = [];
  let length = 0;
  let index = 0;
  // A few at a time: their targets are as long as the process likes.
  while (index < Math.min(names.length, MAX_FDS) && length < FDS_MAX_BYTES) {
    const some = names.slice(index, index + FDS_AT_ONCE);
    const read = some.map((name) => describeFd(`${directory}/fd/${name}`, name, isHuge));
    for (const line of await within(Promise.all(read), signal)) {
      lines.push(line);
      length += line.length;
    }
    index += some.length;
  }
  if (isHuge) lines.push(`… what is open from ${index} on, in a table of ${slots}\n`);
  else if (names.length > index) lines.push(`… ${names.length - index} more\n`);
  return Buffer.from(lines.join(""));
}

/** @param mayBeFree whether the number is a guess: then what is not there makes no line */
async function describeFd(path: string, name: string, mayBeFree: boolean): Promise<string> {
  try {
    return `${name} -> ${escapePath(await readlink(path))}\n`;
  } catch (error) {
    return mayBeFree && errnoOf(error) === "ENOENT" ? "" : `${name} -> ?\n`;
  }
}

function escapePath(path: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not stay
  return path.replaceAll(/[\u0000-\u001f\u007f\\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
