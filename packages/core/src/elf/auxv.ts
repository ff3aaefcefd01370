import { FieldReader, type ElfLayout } from "./bytes.ts";
import type { AuxiliaryVector } from "./facts.ts";

const MAX_ENTRIES = 512;

/** Read NT_AUXV, or the text of `/proc/<pid>/auxv`. Total; unknown entries are left out. @see getauxval(3) */
export function parseAuxv(bytes: Uint8Array, layout: ElfLayout): AuxiliaryVector {
  const at = new FieldReader(bytes, layout);
  const vector: AuxiliaryVector = {};
  const step = 2 * at.wordBytes;
  for (let offset = 0, count = 0; offset + step <= at.length && count < MAX_ENTRIES; offset += step, count += 1) {
    const type = at.word(offset);
    const value = at.word(offset + at.wordBytes);
    if (type === 0n) break;
    if (type === 3n) vector.phdr = value;
    else if (type === 6n) vector.pageSize = Number(value);
    else if (type === 7n) vector.base = value;
    else if (type === 9n) vector.entry = value;
    else if (type === 11n) vector.uid = Number(value);
    else if (type === 12n) vector.euid = Number(value);
    else if (type === 13n) vector.gid = Number(value);
    else if (type === 14n) vector.egid = Number(value);
    else if (type === 15n) vector.platform = value;
    else if (type === 23n) vector.secure = value !== 0n;
    else if (type === 31n) vector.execfn = value;
    else if (type === 33n) vector.sysinfoEhdr = value;
  }
  return vector;
}
