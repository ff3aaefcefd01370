import type { ReadMemory } from "../tables/memory.ts";

/** Longest call instruction on x86, without prefixes: opcode, two bytes that name the operand, four of displacement. */
const CALL_BYTES_MAX = 7;

/** Bytes of `call` with an operand in memory or a register, by the mode bits of ModRM, without a SIB byte. */
const INDIRECT_BYTES = [2, 3, 6, 2];

/**
 * Tell whether the instruction right before a return address on x86 is a call.
 * @returns undefined when the code cannot be read
 * @see Intel SDM, CALL; ModR/M and SIB Bytes
 */
export async function isAfterCall(address: bigint, readCode: ReadMemory): Promise<boolean | undefined> {
  const start = address - BigInt(CALL_BYTES_MAX);
  if (start < 0n) return false;
  const bytes = await readCode(start, CALL_BYTES_MAX);
  if (bytes === undefined || bytes.length < CALL_BYTES_MAX) return undefined;
  // call rel32
  if (bytes[CALL_BYTES_MAX - 5] === 0xe8) return true;
  for (let length = 2; length <= CALL_BYTES_MAX; length += 1) {
    const at = CALL_BYTES_MAX - length;
    const modRm = bytes[at + 1] ?? 0;
    if (bytes[at] !== 0xff || (modRm & 0x38) !== 0x10) continue;
    const [mode, register] = [modRm >>> 6, modRm & 7];
    const hasSib = mode !== 3 && register === 4;
    const isAbsolute = mode === 0 && (register === 5 || (hasSib && ((bytes[at + 2] ?? 0) & 7) === 5));
    if (length === (INDIRECT_BYTES[mode] ?? 0) + (hasSib ? 1 : 0) + (isAbsolute ? 4 : 0)) return true;
  }
  return false;
}

/** The function that the `call rel32` right before a return address calls; undefined where there is no such call. */
export async function calledBefore(address: bigint, readCode: ReadMemory): Promise<bigint | undefined> {
  const bytes = address < 5n ? undefined : await readCode(address - 5n, 5);
  if (bytes === undefined || bytes.length < 5 || bytes[0] !== 0xe8) return undefined;
  return address + BigInt(new DataView(bytes.buffer, bytes.byteOffset).getInt32(1, true));
}

const ARM64_BYTES = 4n;

/** As {@link isAfterCall}, on arm64: `bl` or `blr`. @see Arm Architecture Reference Manual, C6.2 */
export async function isAfterCallOnArm64(address: bigint, readCode: ReadMemory): Promise<boolean | undefined> {
  if (address < ARM64_BYTES || address % ARM64_BYTES !== 0n) return false;
  const bytes = await readCode(address - ARM64_BYTES, Number(ARM64_BYTES));
  if (bytes === undefined || bytes.length < Number(ARM64_BYTES)) return undefined;
  const word = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return word >>> 26 === 0b100101 || (word & 0xff_ff_fc_1f) >>> 0 === 0xd6_3f_00_00;
}
