import { decodeText, FieldReader } from "./bytes.ts";
import type { CoreFacts, CoreModule } from "./facts.ts";
import {
  DT_DEBUG,
  DT_SONAME,
  DT_STRTAB,
  ELF_HEADER_BYTES,
  parseProgramHeader,
  programHeaderBytes,
  PT_DYNAMIC,
  PT_INTERP,
  PT_LOAD,
  PT_PHDR,
  tryParseElfHeader,
  type ElfHeader,
  type ProgramHeader,
} from "./format.ts";
import { tryParseModuleImage } from "./module-image.ts";

/** Read up to `length` bytes of the process's memory; undefined where the core has nothing. */
type ReadMemory = (address: bigint, length: number) => Promise<Uint8Array | undefined>;

/** Objects in the loader's list, and segments that are looked at. */
const OBJECTS_MAX = 4096;
const PROGRAMS_MAX = 128;
const NAME_MAX_BYTES = 4096;
const IMAGE_BYTES = 4096;
const DYNAMIC_MAX_BYTES = 16 * 1024;

/** An object in memory, as its own headers describe it. */
interface LoadedObject {
  /** What is added to the file's addresses. */
  bias: bigint;
  start: bigint;
  end: bigint;
  programs: readonly ProgramHeader[];
}

/**
 * Find the modules that NT_FILE does not list: the program by AT_PHDR, the loader by AT_BASE, libraries by the loader's own
 * list, and what else begins with an ELF header. The kernel leaves the note out when it would be longer than
 * kernel.core_file_note_size_limit; qemu's user emulation and old kernels write none. Total.
 * @param known modules that are listed already
 * @see struct r_debug in link.h; getauxval(3)
 */
export async function findLoadedModules(
  facts: Pick<CoreFacts, "machine" | "auxv" | "execfn" | "process" | "segments">,
  known: readonly CoreModule[],
  read: ReadMemory,
): Promise<CoreModule[]> {
  const { machine, auxv } = facts;
  if (machine === undefined) return [];
  const layout = { bits: machine.bits, little: machine.endian === "little" };
  const found: CoreModule[] = [];
  const isKnown = (address: bigint): boolean =>
    [...known, ...found].some(({ start, end }) => address >= start && address < end);
  const add = async (object: LoadedObject | undefined, path: string, isProgram = false): Promise<void> => {
    if (object === undefined || path === "" || isKnown(object.start) || object.end <= object.start) return;
    const image = tryParseModuleImage((await read(object.start, IMAGE_BYTES)) ?? new Uint8Array());
    found.push({
      path,
      start: object.start,
      end: object.end,
      ...(image?.buildId === undefined ? {} : { buildId: image.buildId }),
      ...(image?.goBuildId === undefined ? {} : { goBuildId: image.goBuildId }),
      ...(image?.package === undefined ? {} : { package: image.package }),
      ...(isProgram ? { executable: true } : {}),
    });
  };
  const program = auxv?.phdr === undefined ? undefined : await objectOfHeaders(auxv.phdr, layout, read);
  await add(program, facts.execfn ?? facts.process?.fname ?? "", true);
  const interpreter = program?.programs.find(({ type }) => type === PT_INTERP);
  if (auxv?.base !== undefined && auxv.base !== 0n && interpreter !== undefined && program !== undefined)
    await add(await objectAt(auxv.base, read), await textAt(interpreter.vaddr + program.bias, read));
  for (const { bias, name } of program === undefined ? [] : await loaderList(program, layout, read))
    if (!isKnown(bias)) await add(await objectAt(bias, read), name);
  for (const { vaddr, fileSize } of facts.segments.slice(0, OBJECTS_MAX)) {
    if (fileSize < ELF_HEADER_BYTES || vaddr === auxv?.sysinfoEhdr || isKnown(vaddr)) continue;
    const object = await objectAt(vaddr, read);
    if (object !== undefined) await add(object, await ownName(object, layout, read));
  }
  return found;
}

/** By which path the loader knows an object, and where that begins in memory. */
export interface LoaderName {
  start: bigint;
  path: string;
}

/**
 * Read by which paths the loader knows what it has loaded: a debugger looks for files by these, not by those of the kernel, which
 * are without symbolic links. Total.
 * @see struct link_map in link.h
 */
export async function readLoaderNames(
  { machine, auxv }: Pick<CoreFacts, "machine" | "auxv">,
  read: ReadMemory,
): Promise<LoaderName[]> {
  if (machine === undefined || auxv?.phdr === undefined) return [];
  const layout = { bits: machine.bits, little: machine.endian === "little" };
  const program = await objectOfHeaders(auxv.phdr, layout, read);
  if (program === undefined) return [];
  const names = (await loaderList(program, layout, read)).map(({ bias, name }) => ({ start: bias, path: name }));
  const interpreter = program.programs.find(({ type }) => type === PT_INTERP);
  if (interpreter !== undefined && auxv.base !== undefined && auxv.base !== 0n)
    names.push({ start: auxv.base, path: await textAt(interpreter.vaddr + program.bias, read) });
  return names;
}

type Layout = Pick<ElfHeader, "bits" | "little">;

/** Describe the object whose ELF header lies at an address. */
async function objectAt(start: bigint, read: ReadMemory): Promise<LoadedObject | undefined> {
  const header = tryParseElfHeader((await read(start, ELF_HEADER_BYTES)) ?? new Uint8Array());
  if (header === undefined || !Number.isFinite(header.phoff) || header.phentsize < programHeaderBytes(header))
    return undefined;
  const programs = await readPrograms(start + BigInt(header.phoff), header.phnum, header, read);
  const first = programs.find(({ type }) => type === PT_LOAD);
  if (first === undefined || !Number.isFinite(first.offset)) return undefined;
  return describe(start - ((first.vaddr - BigInt(first.offset)) & ~0xfffn), programs);
}

/** Describe the program whose program headers lie at an address: AT_PHDR. */
async function objectOfHeaders(phdr: bigint, layout: Layout, read: ReadMemory): Promise<LoadedObject | undefined> {
  const byHeader = await objectAt(phdr & ~0xfffn, read);
  if (byHeader !== undefined) return byHeader;
  // The page with the ELF header is there, or the table could not be read either; it says itself where it lies.
  const programs = await readPrograms(phdr, PROGRAMS_MAX, layout, read);
  const self = programs.find(({ type }) => type === PT_PHDR);
  return self === undefined ? undefined : describe(phdr - self.vaddr, programs);
}

function describe(bias: bigint, programs: readonly ProgramHeader[]): LoadedObject | undefined {
  const loads = programs.filter(({ type, memSize }) => type === PT_LOAD && Number.isFinite(memSize));
  const first = loads[0];
  if (first === undefined) return undefined;
  const start = BigInt.asUintN(64, bias + (first.vaddr & ~0xfffn));
  let end = start;
  for (const { vaddr, memSize } of loads) {
    const last = BigInt.asUintN(64, bias + vaddr + BigInt(memSize) + 0xfffn) & ~0xfffn;
    if (last > end) end = last;
  }
  return { bias, start, end, programs };
}

async function readPrograms(
  address: bigint,
  count: number,
  layout: Layout,
  read: ReadMemory,
): Promise<ProgramHeader[]> {
  const entryBytes = programHeaderBytes(layout);
  const bytes = (await read(address, entryBytes * Math.min(count, PROGRAMS_MAX))) ?? new Uint8Array();
  const programs: ProgramHeader[] = [];
  for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes)
    programs.push(parseProgramHeader(bytes.subarray(at, at + entryBytes), layout));
  return programs;
}

/** The entries of an object's dynamic section. */
async function dynamicOf(object: LoadedObject, layout: Layout, read: ReadMemory): Promise<Map<bigint, bigint>> {
  const entries = new Map<bigint, bigint>();
  const dynamic = object.programs.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return entries;
  const bytes = await read(object.bias + dynamic.vaddr, Math.min(dynamic.memSize, DYNAMIC_MAX_BYTES));
  const at = new FieldReader(bytes ?? new Uint8Array(), layout);
  for (let offset = 0; offset + 2 * at.wordBytes <= at.length; offset += 2 * at.wordBytes) {
    const tag = at.word(offset);
    if (tag === 0n) break;
    if (!entries.has(tag)) entries.set(tag, at.word(offset + at.wordBytes));
  }
  return entries;
}

/** Follow the loader's list of what it has loaded: the address that each is moved by, and its path. */
async function loaderList(
  program: LoadedObject,
  layout: Layout,
  read: ReadMemory,
): Promise<{ bias: bigint; name: string }[]> {
  const wordBytes = layout.bits / 8;
  const debug = (await dynamicOf(program, layout, read)).get(DT_DEBUG);
  if (debug === undefined || debug === 0n) return [];
  const words = async (address: bigint, count: number): Promise<bigint[] | undefined> => {
    const bytes = await read(address, count * wordBytes);
    if (bytes === undefined || bytes.length < count * wordBytes) return undefined;
    const at = new FieldReader(bytes, layout);
    return Array.from({ length: count }, (_, index) => at.word(index * wordBytes));
  };
  const list: { bias: bigint; name: string }[] = [];
  const seen = new Set<bigint>();
  let next = (await words(debug, 2))?.[1];
  while (next !== undefined && next !== 0n && !seen.has(next) && list.length < OBJECTS_MAX) {
    seen.add(next);
    // l_addr, l_name, l_ld, l_next
    const [bias, name, , after] = (await words(next, 4)) ?? [];
    if (bias === undefined || name === undefined) break;
    list.push({ bias, name: await textAt(name, read) });
    next = after;
  }
  return list;
}

/** The name that a library gives itself; a file's path is not in memory. */
async function ownName(object: LoadedObject, layout: Layout, read: ReadMemory): Promise<string> {
  const dynamic = await dynamicOf(object, layout, read);
  const [strings, name] = [dynamic.get(DT_STRTAB), dynamic.get(DT_SONAME)];
  if (strings === undefined || name === undefined) return "";
  // The loader writes addresses into its own copy on most machines, and leaves them as they are on others.
  const base = strings >= object.start ? strings : strings + object.bias;
  return textAt(base + name, read);
}

async function textAt(address: bigint, read: ReadMemory): Promise<string> {
  if (address <= 0n) return "";
  const bytes = await read(address, NAME_MAX_BYTES);
  return bytes !== undefined && bytes.includes(0) ? decodeText(bytes) : "";
}
