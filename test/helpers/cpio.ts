import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A file of an archive; a directory when there are no bytes. */
export interface CpioFile {
  name: string;
  mode: number;
  bytes?: Buffer;
}

const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const TRAILER = "TRAILER!!!";

/** Write files as the kernel wants them for its first root: cpio, format `newc`. @see cpio(5) */
export function makeCpio(files: readonly CpioFile[]): Buffer {
  const parts: Buffer[] = [];
  for (const [index, { name, mode, bytes }] of [...files, { name: TRAILER, mode: 0 }].entries()) {
    const type = name === TRAILER ? 0 : bytes === undefined ? DIRECTORY : REGULAR;
    const fields = [index + 1, type | mode, 0, 0, 1, 0, bytes?.length ?? 0, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
    parts.push(padded(Buffer.from(head)), padded(bytes ?? Buffer.alloc(0)));
  }
  return Buffer.concat(parts);
}

/** List everything below a directory, under the names that it has there. Links are followed nowhere, and refused. */
export function cpioFilesOf(directory: string, prefix = ""): CpioFile[] {
  return readdirSync(directory)
    .sort()
    .flatMap((entry): CpioFile[] => {
      const path = join(directory, entry);
      const stats = lstatSync(path);
      const name = `${prefix}${entry}`;
      if (stats.isDirectory()) return [{ name, mode: 0o755 }, ...cpioFilesOf(path, `${name}/`)];
      if (!stats.isFile()) throw new Error(`${path} is neither file nor directory`);
      return [{ name, mode: stats.mode & 0o777, bytes: readFileSync(path) }];
    });
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
