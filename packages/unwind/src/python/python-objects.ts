import { decodeText } from "@cdh/core/elf/bytes";
import { readWord, type ReadMemory } from "../tables/memory.ts";
import type { PythonLayout } from "./layouts.ts";

/** Longest name, in characters; a table of lines of a function, in bytes. */
const TEXT_MAX = 4096;
const TABLE_MAX_BYTES = 1024 * 1024;
const CODE_UNIT_BYTES = 2;
const COMPACT = 0x20;
const ASCII = 0x40;

/** Read `length` bytes, across segments; undefined where not all are there. */
export async function readExactly(read: ReadMemory, address: bigint, length: number): Promise<Uint8Array | undefined> {
  const first = await read(address, length);
  if (first === undefined || first.length === length) return first;
  const parts = [first];
  for (let filled = first.length; filled < length;) {
    const part = await read(address + BigInt(filled), length - filled);
    if (part === undefined || part.length === 0) return undefined;
    parts.push(part);
    filled += part.length;
  }
  return Buffer.concat(parts);
}

/** Read a `str` object; undefined for what is none. */
export async function readText(address: bigint, read: ReadMemory, layout: PythonLayout): Promise<string | undefined> {
  const head = await readExactly(read, address, Math.max(layout.textState + 4, layout.textLength + 8));
  if (head === undefined || address % 8n !== 0n) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const length = view.getBigUint64(layout.textLength, true);
  const state = view.getUint32(layout.textState, true);
  const kind = (state >>> 2) & 7;
  if (length === 0n || length > TEXT_MAX || (state & COMPACT) === 0 || ![1, 2, 4].includes(kind)) return undefined;
  const isAscii = (state & ASCII) !== 0;
  const start = address + BigInt(isAscii ? layout.asciiText : layout.otherText);
  const bytes = await readExactly(read, start, Number(length) * kind);
  if (bytes === undefined) return undefined;
  if (isAscii) return bytes.every((byte) => byte > 0 && byte < 0x80) ? decodeText(bytes) : undefined;
  const units = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let text = "";
  for (let at = 0; at < bytes.length; at += kind) {
    const code = kind === 1 ? units.getUint8(at) : kind === 2 ? units.getUint16(at, true) : units.getUint32(at, true);
    if (code === 0 || code > 0x10_ffff) return undefined;
    text += String.fromCodePoint(code);
  }
  return text;
}

/** Read the table of lines (`co_linetable`, a `bytes` object). */
export async function readLineTable(
  address: bigint,
  read: ReadMemory,
  layout: PythonLayout,
): Promise<Uint8Array | undefined> {
  const length = await readWord(read, address + BigInt(layout.bytesLength), 8);
  if (length === undefined || length === 0n || length > TABLE_MAX_BYTES) return undefined;
  return readExactly(read, address + BigInt(layout.bytes), Number(length));
}

/**
 * Find the line of an instruction.
 * @param unit index of the instruction, in units of two bytes
 * @returns undefined where the instruction has none
 * @see Objects/locations.md of CPython 3.11 to 3.13
 */
export function lineAt(table: Uint8Array, firstLine: number, unit: number): number | undefined {
  let [line, start] = [firstLine, 0];
  for (let at = 0; at < table.length;) {
    const head = table[at] ?? 0;
    if ((head & 0x80) === 0) return undefined;
    const kind = (head >>> 3) & 0xf;
    const end = start + (head & 7) + 1;
    at += 1;
    const delta = deltaOf(table, at, kind);
    if (delta === undefined) return undefined;
    line += delta;
    if (unit < end) return kind === NO_PLACE || line <= 0 ? undefined : line;
    start = end;
    while (at < table.length && ((table[at] ?? 0) & 0x80) === 0) at += 1;
  }
  return undefined;
}

const NO_PLACE = 15;

function deltaOf(table: Uint8Array, at: number, kind: number): number | undefined {
  if (kind === NO_PLACE || kind < 10) return 0;
  if (kind < 13) return kind - 10;
  let [value, shift, place] = [0, 0, at];
  for (; shift < 36; shift += 6, place += 1) {
    const byte = table[place];
    if (byte === undefined) return undefined;
    value += (byte & 0x3f) * 2 ** shift;
    if ((byte & 0x40) === 0) return value % 2 === 1 ? -(value - 1) / 2 : value / 2;
  }
  return undefined;
}

/** The index of an instruction in its function; negative for one that has not begun. */
export function unitOf(instruction: bigint, code: bigint, layout: PythonLayout): number | undefined {
  const distance = instruction - code - BigInt(layout.bytecode);
  return distance < -BigInt(CODE_UNIT_BYTES) || distance > 0x7fff_ffffn
    ? undefined
    : Number(distance) / CODE_UNIT_BYTES;
}
