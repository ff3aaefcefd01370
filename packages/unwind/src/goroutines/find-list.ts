import { findNamed } from "../elf/symbols.ts";
import type { GoLayout } from "../go/layouts.ts";
import type { LoadedModule } from "../process/loaded-module.ts";
import { readWords, type ReadMemory } from "../tables/memory.ts";
import { readGoroutine } from "./read-goroutine.ts";

/** Where the addresses of all goroutines are, and how many there are. */
export interface GoroutineList {
  address: bigint;
  count: number;
}

/** Goroutines that fit into memory: 2 KiB of stack each. */
const COUNT_MAX = 2 ** 28;
/** Variables that are looked through for the list, and pieces of them, in bytes. */
const SEARCHED_MAX_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** Slices that may be the list: each costs some reads. */
const CANDIDATES_MAX = 20_000;
/** Goroutines at the head of a list that have to be some. */
const CHECKED = 8;
const SLICE_BYTES = 24;

/**
 * Find `runtime.allgs`: by its symbol, else as the largest slice among the program's variables whose elements are goroutines.
 * A goroutine holds its own address, so that nothing else is taken for one.
 * @returns undefined where it is not found
 */
export async function findGoroutineList(
  loaded: LoadedModule,
  read: ReadMemory,
  layout: GoLayout,
): Promise<GoroutineList | undefined> {
  const [elf, go] = [await loaded.code(), await loaded.go()];
  if (elf === undefined || go === undefined) return undefined;
  const symbol = (await findNamed(elf, new Set(["runtime.allgs"]))).get("runtime.allgs");
  const named = symbol === undefined ? undefined : await loaded.addressOf(symbol);
  const slice = named === undefined ? undefined : await readWords(read, named, 3);
  if (slice !== undefined) {
    const [address = 0n, count = 0n, room = 0n] = slice;
    if (count > 0n && count <= room && count <= COUNT_MAX) {
      const list = { address, count: Number(count) };
      if (await isList(list, read, layout)) return list;
    }
  }
  const { start = 0n, end = 0n } = go.zeroed ?? {};
  const from = await loaded.addressOf(start);
  const size = Number(end - start);
  if (from === undefined || start <= 0n || size <= 0 || size > SEARCHED_MAX_BYTES) return undefined;
  return search(loaded, from, size, read, layout);
}

async function search(
  loaded: LoadedModule,
  start: bigint,
  size: number,
  read: ReadMemory,
  layout: GoLayout,
): Promise<GoroutineList | undefined> {
  let best: GoroutineList | undefined;
  let tried = 0;
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES + SLICE_BYTES, size - at);
    const bytes = await loaded.readAll(start + BigInt(at), length);
    for (const candidate of slicesIn(bytes ?? new Uint8Array())) {
      if (candidate.count <= (best?.count ?? 0)) continue;
      if ((tried += 1) > CANDIDATES_MAX) return undefined;
      if (await isList(candidate, read, layout)) best = candidate;
    }
  }
  return best;
}

/** Slices: an address, a length, and a room that is not smaller. */
function* slicesIn(bytes: Uint8Array): Generator<GoroutineList> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + SLICE_BYTES <= bytes.length; at += 8) {
    const count = view.getUint32(at + 8, true);
    if (count === 0 || count > COUNT_MAX || view.getUint32(at + 12, true) !== 0) continue;
    const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    if (low % 8 !== 0 || high > 0xffff || (low === 0 && high === 0)) continue;
    if (view.getUint32(at + 16, true) < count || view.getUint32(at + 20, true) !== 0) continue;
    yield { address: view.getBigUint64(at, true), count };
  }
}

async function isList({ address, count }: GoroutineList, read: ReadMemory, layout: GoLayout): Promise<boolean> {
  const first = await readWords(read, address, Math.min(count, CHECKED));
  if (first === undefined) return false;
  for (const one of first) if ((await readGoroutine(one, read, layout)) === undefined) return false;
  return (await readWords(read, address + 8n * BigInt(count - 1), 1)) !== undefined;
}
