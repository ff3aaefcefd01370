import { statfs } from "node:fs/promises";
import { CdhError } from "@cdh/core/errors";
import { parseBytes } from "@cdh/core/units";

/** Room on a file system: bytes, or a fraction of it with an upper bound. */
export type Space = { bytes: number } | { fraction: number; maxBytes: number };

/** Read `1Gi`, `0` or `10%`. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseSpace(text: string): Space {
  const percent = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text);
  if (percent === null) return { bytes: parseBytes(text) };
  const fraction = Number(percent[1]) / 100;
  if (fraction > 1) throw new CdhError("CDH_CONFIG_INVALID", "more than 100 %");
  return { fraction, maxBytes: Number.POSITIVE_INFINITY };
}

/** Free and total bytes of the file system that a path is on. */
export interface FileSystemSpace {
  availableBytes: number;
  totalBytes: number;
}

/** Measure a file system; undefined when it can't be. */
export async function measureSpace(path: string): Promise<FileSystemSpace | undefined> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    return { availableBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** Tell how many bytes a {@link Space} is on a file system of this size. */
export function spaceBytes(space: Space, totalBytes: number): number {
  return "bytes" in space ? space.bytes : Math.min(space.maxBytes, Math.floor(space.fraction * totalBytes));
}
