import { DwarfReader, UnwindDataError } from "./dwarf-reader.ts";
import type { FrameDescription } from "./frame-records.ts";

/** Where the caller's value of one register is. */
export type RegisterRule =
  | { kind: "undefined" }
  | { kind: "same" }
  /** In memory, so far from the frame's address; or, with `isValue`, the address itself. */
  | { kind: "offset"; offset: bigint; isValue: boolean }
  | { kind: "register"; register: number }
  | { kind: "expression"; bytes: Uint8Array; isValue: boolean };

/** How to compute the frame's address. */
export type FrameRule =
  | { kind: "register"; register: number; offset: bigint }
  | { kind: "expression"; bytes: Uint8Array };

/** What holds at one address of the code. */
export interface FrameRow {
  frame: FrameRule | undefined;
  registers: Map<number, RegisterRule>;
}

const REMEMBERED_MAX = 64;
/** The largest number that any machine's ABI gives is 128 or so. */
const REGISTERS_MAX = 256;

/**
 * Run a description's instructions up to an address. Each instruction takes a byte at least, so this ends.
 * @param vaddr in the description's range
 * @throws {UnwindDataError} on what is damaged or not known
 * @see DWARF 5, 6.4.2 Call Frame Instructions
 */
export function frameRowAt(description: FrameDescription, vaddr: bigint): FrameRow {
  const row: FrameRow = { frame: undefined, registers: new Map() };
  execute(description, description.initial, vaddr, row, new Map());
  execute(description, description.instructions, vaddr, row, new Map(row.registers));
  return row;
}

function execute(
  { start, codeAlign, dataAlign, encoding, wordBytes }: FrameDescription,
  program: Uint8Array,
  vaddr: bigint,
  row: FrameRow,
  initial: ReadonlyMap<number, RegisterRule>,
): void {
  const reader = new DwarfReader(program, 0n, wordBytes);
  const remembered: FrameRow[] = [];
  let at = start;
  const set = (register: number, rule: RegisterRule): void => {
    if (register >= REGISTERS_MAX) throw new UnwindDataError(`register ${register}`);
    row.registers.set(register, rule);
  };
  const saved = (offset: bigint, isValue = false): RegisterRule => ({ kind: "offset", offset, isValue });
  const restore = (register: number): void => {
    const rule = initial.get(register);
    if (rule === undefined) row.registers.delete(register);
    else set(register, rule);
  };
  const frameRegister = (): { register: number; offset: bigint } => {
    if (row.frame?.kind !== "register") throw new UnwindDataError("a frame's register before its rule");
    return row.frame;
  };
  const block = (): Uint8Array => reader.bytes(reader.count());
  while (reader.left > 0) {
    const code = reader.u8();
    const low = code & 0x3f;
    switch (code >>> 6) {
      case 1:
        at += BigInt(low) * codeAlign;
        if (at > vaddr) return;
        continue;
      case 2:
        set(low, saved(reader.uleb() * dataAlign));
        continue;
      case 3:
        restore(low);
        continue;
    }
    switch (code) {
      case 0x00: // nop
      case 0x2d: // AARCH64_negate_ra_state: the signature's bits are cut off anyway
        break;
      case 0x2e: // GNU_args_size
        reader.uleb();
        break;
      case 0x01: // set_loc; relative ones are not written in instructions
        if ((encoding & 0x70) !== 0) throw new UnwindDataError("a relative set_loc");
        at = reader.pointer(encoding);
        if (at > vaddr) return;
        break;
      case 0x02:
      case 0x03:
      case 0x04:
        at += reader.unsigned(code === 0x02 ? 1 : code === 0x03 ? 2 : 4) * codeAlign;
        if (at > vaddr) return;
        break;
      case 0x05: // offset_extended
        set(reader.count(), saved(reader.uleb() * dataAlign));
        break;
      case 0x06: // restore_extended
        restore(reader.count());
        break;
      case 0x07:
        set(reader.count(), { kind: "undefined" });
        break;
      case 0x08:
        set(reader.count(), { kind: "same" });
        break;
      case 0x09:
        set(reader.count(), { kind: "register", register: reader.count() });
        break;
      case 0x0a: // remember_state
        if (remembered.length >= REMEMBERED_MAX) throw new UnwindDataError("too much is remembered");
        remembered.push({ frame: row.frame, registers: new Map(row.registers) });
        break;
      case 0x0b: {
        const state = remembered.pop();
        if (state === undefined) throw new UnwindDataError("nothing is remembered");
        row.frame = state.frame;
        row.registers = state.registers;
        break;
      }
      case 0x0c: // def_cfa
        row.frame = { kind: "register", register: reader.count(), offset: reader.uleb() };
        break;
      case 0x0d:
        row.frame = { kind: "register", register: reader.count(), offset: frameRegister().offset };
        break;
      case 0x0e:
        row.frame = { kind: "register", register: frameRegister().register, offset: reader.uleb() };
        break;
      case 0x0f:
        row.frame = { kind: "expression", bytes: block() };
        break;
      case 0x10:
      case 0x16:
        set(reader.count(), { kind: "expression", bytes: block(), isValue: code === 0x16 });
        break;
      case 0x11: // offset_extended_sf
        set(reader.count(), saved(reader.sleb() * dataAlign));
        break;
      case 0x12: // def_cfa_sf
        row.frame = { kind: "register", register: reader.count(), offset: reader.sleb() * dataAlign };
        break;
      case 0x13: // def_cfa_offset_sf
        row.frame = { kind: "register", register: frameRegister().register, offset: reader.sleb() * dataAlign };
        break;
      case 0x14:
        set(reader.count(), saved(reader.uleb() * dataAlign, true));
        break;
      case 0x15:
        set(reader.count(), saved(reader.sleb() * dataAlign, true));
        break;
      case 0x2f: // GNU_negative_offset_extended
        set(reader.count(), saved(-reader.uleb() * dataAlign));
        break;
      default:
        throw new UnwindDataError(`instruction 0x${code.toString(16)}`);
    }
  }
}
