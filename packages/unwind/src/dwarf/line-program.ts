import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import type { DebugInfo, Unit } from "./debug-info.ts";
import { numberOf, readForm, textOf, type FormValue } from "./forms.ts";

/** Source files of a unit, by the numbers that its entries have for them. */
export interface SourceFiles {
  name(index: number): string | undefined;
}

/** What the line program of a unit says of some addresses. */
export interface UnitLines {
  files: SourceFiles;
  lines: Map<bigint, { file: number; line: number }>;
}

const PROGRAM_BYTES_MAX = 128 * 1024 * 1024;
const FILES_MAX = 100_000;
const CONTENT = { path: 1, directory: 2 };

/** Run a unit's line program once, for all addresses wanted. @throws {UnwindDataError} when it is damaged */
export async function findLines(
  info: DebugInfo,
  unit: Unit,
  vaddrs: readonly bigint[],
): Promise<UnitLines | undefined> {
  if (unit.lineAt === undefined) return undefined;
  const first = new DwarfReader(await info.read("line", unit.lineAt, 12));
  const short = first.u32();
  const isWide = short === 0xffff_ffff;
  const length = isWide ? first.offset(true) : short;
  if (length > PROGRAM_BYTES_MAX) throw new UnwindDataError(`a line program of ${length} bytes`);
  const reader = new DwarfReader(await info.read("line", unit.lineAt + (isWide ? 12 : 4), length), 0n, unit.wordBytes);
  const version = reader.u16();
  if (version < 2 || version > 5) throw new UnwindDataError(`line program of version ${version}`);
  if (version === 5) {
    reader.u8();
    reader.u8();
  }
  const headerBytes = reader.offset(isWide);
  const start = reader.at + headerBytes;
  const shape = {
    version,
    instructionBytes: reader.u8(),
    // Operations of one instruction, which only VLIW machines have, and whether rows are statements at first.
    passedOver: reader.bytes(version >= 4 ? 2 : 1),
    lineBase: Number(reader.signed(1)),
    lineRange: reader.u8(),
    opcodeBase: reader.u8(),
  };
  const lengths = Array.from({ length: Math.max(0, shape.opcodeBase - 1) }, () => reader.u8());
  const context = { ...unit, isWide, version: 5 };
  const files = version === 5 ? await readFiles(info, context, reader) : readOldFiles(reader);
  reader.at = Math.min(start, reader.at + reader.left);
  return { files, lines: run(reader, shape, lengths, vaddrs) };
}

interface Shape {
  version: number;
  instructionBytes: number;
  lineBase: number;
  lineRange: number;
  opcodeBase: number;
}

/** Addresses of a program's own file are small enough to be numbers; beyond 2^53 nothing is found. */
interface Row {
  address: number;
  file: number;
  line: number;
}

/** @see DWARF 5, 6.2.5 The Line Number Program */
function run(
  reader: DwarfReader,
  shape: Shape,
  lengths: readonly number[],
  vaddrs: readonly bigint[],
): Map<bigint, { file: number; line: number }> {
  const wanted = vaddrs.map(Number).toSorted((left, right) => left - right);
  const [least = 0, most = 0] = [wanted[0], wanted.at(-1)];
  const found = new Map<bigint, { file: number; line: number }>();
  if (shape.lineRange === 0) throw new UnwindDataError("a line program without a range of lines");
  const begin = (): Row => ({ address: 0, file: 1, line: 1 });
  let row = begin();
  const last = { isThere: false, ...begin() };
  /** What lies between the row before and this one belongs to the row before. */
  const emit = (): void => {
    if (last.isThere && row.address > last.address && last.address <= most && row.address > least) {
      for (const vaddr of wanted)
        if (vaddr >= last.address && vaddr < row.address)
          found.set(BigInt(vaddr), { file: last.file, line: last.line });
    }
    last.isThere = true;
    last.address = row.address;
    last.file = row.file;
    last.line = row.line;
  };
  const advance = (by: number): void => {
    row.address += by * shape.instructionBytes;
  };
  while (reader.left > 0 && found.size < wanted.length) {
    const code = reader.u8();
    if (code >= shape.opcodeBase) {
      const adjusted = code - shape.opcodeBase;
      advance(Math.floor(adjusted / shape.lineRange));
      row.line += shape.lineBase + (adjusted % shape.lineRange);
      emit();
    } else if (code === 0) {
      const length = reader.count();
      const end = reader.at + length;
      if (length === 0 || length > reader.left) throw new UnwindDataError("a line program ends early");
      const kind = reader.u8();
      if (kind === 1) {
        emit();
        last.isThere = false;
        row = begin();
      } else if (kind === 2) row.address = length - 1 === 8 ? Number(reader.u64()) : reader.u32();
      reader.at = end;
    } else if (code === 1) emit();
    else if (code === 2) advance(reader.count());
    else if (code === 3) row.line += Number(reader.sleb());
    else if (code === 4) row.file = reader.count();
    else if (code === 8) advance(Math.floor((255 - shape.opcodeBase) / shape.lineRange));
    else if (code === 9) row.address += reader.u16();
    else for (let left = lengths[code - 1] ?? 0; left > 0; left -= 1) reader.skipLeb();
  }
  return found;
}

/** Directories and files as version 5 has them. @see DWARF 5, 6.2.4.1 */
async function readFiles(info: DebugInfo, unit: Unit, reader: DwarfReader): Promise<SourceFiles> {
  const table = (): Map<number, FormValue>[] => {
    const formats = Array.from({ length: reader.u8() }, () => ({ content: reader.count(), form: reader.count() }));
    const count = reader.count();
    if (count > FILES_MAX || (count > 0 && formats.length === 0)) throw new UnwindDataError(`${count} source files`);
    return Array.from(
      { length: count },
      () => new Map(formats.map(({ content, form }) => [content, readForm(reader, form, unit, 0n)])),
    );
  };
  const [folders, files] = [table(), table()];
  const texts = async (entries: readonly Map<number, FormValue>[]): Promise<string[]> => {
    const list: string[] = [];
    for (const entry of entries) list.push((await textOf(info, unit, entry.get(CONTENT.path))) ?? "");
    return list;
  };
  const [folderNames, fileNames] = [await texts(folders), await texts(files)];
  return {
    name: (index) => {
      const folder = Number(numberOf(files[index]?.get(CONTENT.directory)) ?? 0n);
      return joined(folder === 0 ? "" : (folderNames[folder] ?? ""), fileNames[index]);
    },
  };
}

function readOldFiles(reader: DwarfReader): SourceFiles {
  const folders = [""];
  for (let name = reader.text(); name !== "" && folders.length < FILES_MAX; name = reader.text()) folders.push(name);
  const files: { name: string; folder: number }[] = [];
  for (let name = reader.text(); name !== "" && files.length < FILES_MAX; name = reader.text()) {
    const folder = reader.count();
    reader.uleb();
    reader.uleb();
    files.push({ name, folder });
  }
  return {
    name: (index) => {
      const file = files[index - 1];
      return file === undefined ? undefined : joined(folders[file.folder] ?? "", file.name);
    },
  };
}

/** A file in the folder where the compiler ran has no folder in its name, as in the compiler's messages. */
function joined(folder: string, name: string | undefined): string | undefined {
  if (name === undefined || name === "") return undefined;
  return name.startsWith("/") || folder === "" ? name : `${folder.replace(/\/$/, "")}/${name}`;
}
