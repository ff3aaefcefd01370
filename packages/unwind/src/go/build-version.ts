import { decodeText } from "@cdh/core/elf/bytes";
import type { ElfFile } from "../elf/elf-file.ts";

const MAGIC = "\xff Go buildinf:";
const HEAD_BYTES = 32;
const FLAGS_AT = 15;
/** The texts follow the head, each behind its length; so since Go 1.18. */
const INLINE = 2;
const VERSION_BYTES_MAX = 256;

/** The version of Go that a file was built with. */
export interface GoVersion {
  /** As Go writes it: `go1.22.3`, `devel go1.27-2f5c8e8b4a …`. */
  text: string;
  /** 22 of `go1.22.3`. */
  minor: number;
}

/** Read the version that Go's linker wrote into a file, stripped or not; undefined where there is none. */
export async function readGoVersion(elf: ElfFile): Promise<GoVersion | undefined> {
  const data = (await elf.section(".go.buildinfo"))?.data;
  const bytes = await data?.read(0, HEAD_BYTES + 2 + VERSION_BYTES_MAX);
  if (bytes === undefined || bytes.length < HEAD_BYTES + 2) return undefined;
  if (Buffer.from(bytes.subarray(0, MAGIC.length)).toString("latin1") !== MAGIC) return undefined;
  if (((bytes[FLAGS_AT] ?? 0) & INLINE) === 0) return undefined;
  const [low = 0, high = 0] = bytes.subarray(HEAD_BYTES, HEAD_BYTES + 2);
  const length = low < 0x80 ? low : (low & 0x7f) + high * 0x80;
  const start = HEAD_BYTES + (low < 0x80 ? 1 : 2);
  if (length === 0 || length > VERSION_BYTES_MAX || start + length > bytes.length) return undefined;
  const text = decodeText(bytes.subarray(start, start + length));
  const minor = /\bgo1\.(\d{1,3})\b/.exec(text)?.[1];
  return minor === undefined ? undefined : { text, minor: Number(minor) };
}
