import type { SourceFunction } from "../dwarf/source-lines.ts";
import { findSymbols, type Symbol } from "../elf/symbols.ts";
import type { LoadedModule } from "./loaded-module.ts";

/** One function that an address is in, by the linker's name. */
export interface CodeName {
  function?: string;
  /** Bytes from the function's start; left out for one that is inlined. */
  offset?: bigint;
  file?: string;
  line?: number;
}

/**
 * Name the code at addresses of a module's file: for each the functions that it is in, the innermost inlined one first, the
 * one that has the frame last. What has no name is left out.
 */
export async function nameCode(
  loaded: LoadedModule,
  vaddrs: readonly bigint[],
  options: { lines: boolean } = { lines: true },
): Promise<Map<bigint, CodeName[]>> {
  const names = await nameGo(loaded, vaddrs);
  const missing = vaddrs.filter((vaddr) => !names.has(vaddr));
  if (missing.length === 0) return names;
  const lines = options.lines ? await (await loaded.sourceLines())?.find(missing) : undefined;
  const symbols = await symbolsOf(loaded, missing);
  for (const vaddr of missing) {
    const named = mergeNames(vaddr, symbols.get(vaddr), lines?.get(vaddr) ?? []);
    if (named.length > 0) names.set(vaddr, named);
  }
  return names;
}

/** The symbol tells the function that has the frame; only debugging information tells what is inlined into it, and lines. */
function mergeNames(vaddr: bigint, symbol: Symbol | undefined, functions: readonly SourceFunction[]): CodeName[] {
  const own = functions.at(-1);
  const [name, start] = [symbol?.name ?? own?.name, symbol === undefined ? own?.start : vaddr - symbol.offset];
  const inlined = functions.slice(0, -1).map((one) => nameOf(one.name, undefined, one));
  if (name === undefined && own === undefined) return [];
  return [...inlined, nameOf(name, name === undefined || start === undefined ? undefined : vaddr - start, own)];
}

function nameOf(name: string | undefined, offset: bigint | undefined, place: SourceFunction | undefined): CodeName {
  return {
    ...(name === undefined ? {} : { function: name }),
    ...(offset === undefined ? {} : { offset }),
    ...(place?.file === undefined ? {} : { file: place.file }),
    ...(place?.line === undefined ? {} : { line: place.line }),
  };
}

async function nameGo(loaded: LoadedModule, vaddrs: readonly bigint[]): Promise<Map<bigint, CodeName[]>> {
  const names = new Map<bigint, CodeName[]>();
  const go = await loaded.go();
  if (go === undefined) return names;
  for (const vaddr of vaddrs) {
    const found = await go.find(vaddr);
    if (found === undefined || found.fn.name === "") continue;
    const lines = await go.lines(found);
    const last = lines.at(-1);
    names.set(vaddr, [...lines.slice(0, -1), { ...last, offset: BigInt(found.offset - found.fn.start) }]);
  }
  return names;
}

/** The file's own table first; stripped files may have a small one beside, or a file of their own. */
async function symbolsOf(loaded: LoadedModule, vaddrs: readonly bigint[]): Promise<Map<bigint, Symbol>> {
  const found = new Map<bigint, Symbol>();
  const sources = [() => loaded.code(), () => loaded.miniDebugFile(), () => loaded.debugFile()];
  const weak = new Map<bigint, Symbol>();
  for (const source of sources) {
    const missing = vaddrs.filter((vaddr) => !found.has(vaddr));
    if (missing.length === 0) break;
    const elf = await source();
    if (elf === undefined) continue;
    const hasTable = (await elf.sections()).some(({ type }) => type === SHT_SYMTAB);
    // A stripped library shows its public names alone; what they cover by chance may have a better one elsewhere.
    const into = hasTable ? found : weak;
    for (const [vaddr, symbol] of await findSymbols(elf, missing)) if (!into.has(vaddr)) into.set(vaddr, symbol);
  }
  return new Map([...weak, ...found]);
}

const SHT_SYMTAB = 2;
