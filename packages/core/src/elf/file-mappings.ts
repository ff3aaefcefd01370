import { decodeText, FieldReader, type ElfLayout } from "./bytes.ts";
import type { CoreMapping } from "./facts.ts";

/** Hold the mappings that could be read, and whether there were more. */
export interface FileMappings {
  mappings: CoreMapping[];
  /** True when the note was cut, damaged, or longer than allowed. */
  partial: boolean;
}

/**
 * Read NT_FILE: a count, the page size, then start, end and offset in pages for each mapping, then their paths, each
 * ended by a NUL. Total: a note that is cut short gives what is whole in it.
 * @see fs/binfmt_elf.c, fill_files_note
 */
export function parseFileMappings(bytes: Uint8Array, layout: ElfLayout, maxMappings: number): FileMappings {
  const at = new FieldReader(bytes, layout);
  const word = at.wordBytes;
  const claimed = at.word(0);
  const pageSize = at.word(word);
  const fits = Math.max(0, Math.floor((at.length - 2 * word) / (3 * word)));
  const count = Number(claimed < BigInt(fits) ? claimed : BigInt(fits));
  let partial = BigInt(count) !== claimed || count > maxMappings;
  const mappings: CoreMapping[] = [];
  let path = "";
  let pathBytes = bytes.subarray(0, 0);
  let nameAt = 2 * word + count * 3 * word;
  for (let index = 0; index < Math.min(count, maxMappings); index += 1) {
    const entryAt = 2 * word + index * 3 * word;
    const nameEnd = bytes.indexOf(0, nameAt);
    if (nameEnd === -1) {
      partial = true;
      break;
    }
    // The pieces of one file follow each other: their path is one text in memory.
    const named = bytes.subarray(nameAt, nameEnd);
    if (index === 0 || Buffer.compare(named, pathBytes) !== 0) {
      path = decodeText(named);
      pathBytes = named;
    }
    mappings.push({
      path,
      start: at.word(entryAt),
      end: at.word(entryAt + word),
      fileOffset: at.word(entryAt + 2 * word) * pageSize,
    });
    nameAt = nameEnd + 1;
  }
  return { mappings, partial };
}
