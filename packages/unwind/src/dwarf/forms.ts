import { type DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import type { DebugInfo, Unit } from "./debug-info.ts";

/** A value as it is written; what it means depends on the form. Texts that stand in place are bytes. */
export interface FormValue {
  form: number;
  value: bigint | Uint8Array;
}

const FORM = {
  addr: 0x01,
  string: 0x08,
  strp: 0x0e,
  refAddr: 0x10,
  ref1: 0x11,
  refUdata: 0x15,
  indirect: 0x16,
  strx: 0x1a,
  addrx: 0x1b,
  refSup4: 0x1c,
  strpSup: 0x1d,
  lineStrp: 0x1f,
  implicitConst: 0x21,
  rnglistx: 0x23,
  refSup8: 0x24,
  strx1: 0x25,
  strx4: 0x28,
  addrx1: 0x29,
  addrx4: 0x2c,
  gnuAddrIndex: 0x1f01,
  gnuStrIndex: 0x1f02,
  gnuRefAlt: 0x1f20,
  gnuStrpAlt: 0x1f21,
};
const NOTHING = new Uint8Array();

/** Read the value of an attribute. @throws {UnwindDataError} on a form that is not known @see DWARF 5, 7.5.6 */
export function readForm(reader: DwarfReader, form: number, unit: Unit, implicit: bigint): FormValue {
  const value = (read: bigint | number | Uint8Array): FormValue => ({
    form,
    value: typeof read === "number" ? BigInt(read) : read,
  });
  switch (form) {
    case 0x01:
      return value(unit.wordBytes === 8 ? reader.u64() : reader.u32());
    case 0x03:
      return value(reader.bytes(reader.u16()));
    case 0x04:
      return value(reader.bytes(reader.u32()));
    case 0x05:
    case 0x12:
    case 0x26:
    case 0x2a:
      return value(reader.u16());
    case 0x06:
    case 0x13:
    case 0x1c:
    case 0x28:
    case 0x2c:
      return value(reader.u32());
    case 0x07:
    case 0x14:
    case 0x20:
    case 0x24:
      return value(reader.u64());
    case 0x08:
      return value(reader.textBytes());
    case 0x09:
    case 0x18:
      return value(reader.bytes(reader.count()));
    case 0x0a:
      return value(reader.bytes(reader.u8()));
    case 0x0b:
    case 0x0c:
    case 0x11:
    case 0x25:
    case 0x29:
      return value(reader.u8());
    case 0x0d:
      return value(reader.sleb());
    case 0x0e:
    case 0x17:
    case 0x1d:
    case 0x1f:
    case 0x1f20:
    case 0x1f21:
      return value(reader.offset(unit.isWide));
    case 0x0f:
    case 0x15:
    case 0x1a:
    case 0x1b:
    case 0x22:
    case 0x23:
    case 0x1f01:
    case 0x1f02:
      return value(reader.uleb());
    case 0x10:
      // Version 2 had an address here.
      return value(
        unit.version === 2 ? (unit.wordBytes === 8 ? reader.u64() : reader.u32()) : reader.offset(unit.isWide),
      );
    case 0x16:
      return readIndirect(reader, unit, implicit);
    case 0x19:
      return value(1);
    case 0x1e:
      return value(reader.bytes(16));
    case 0x21:
      return value(implicit);
    case 0x27:
    case 0x2b:
      return value(reader.u8() + reader.u16() * 256);
    default:
      throw new UnwindDataError(`form 0x${form.toString(16)}`);
  }
}

/** Pass over the value of an attribute, as {@link readForm} reads it. @throws {UnwindDataError} on a form that is not known */
export function skipForm(reader: DwarfReader, form: number, unit: Unit, implicit: bigint): void {
  const bytes = FIXED_BYTES[form];
  if (bytes !== undefined) reader.skip(bytes);
  else if (LEB_FORMS.has(form)) reader.skipLeb();
  else readForm(reader, form, unit, implicit);
}

/** Bytes of the forms that have the same size everywhere. */
const FIXED_BYTES: Readonly<Partial<Record<number, number>>> = {
  0x05: 2,
  0x06: 4,
  0x07: 8,
  0x0b: 1,
  0x0c: 1,
  0x11: 1,
  0x12: 2,
  0x13: 4,
  0x14: 8,
  0x19: 0,
  0x20: 8,
  0x21: 0,
  0x25: 1,
  0x26: 2,
  0x28: 4,
  0x29: 1,
  0x2a: 2,
  0x2c: 4,
};
const LEB_FORMS: ReadonlySet<number> = new Set([0x0d, 0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23]);

function readIndirect(reader: DwarfReader, unit: Unit, implicit: bigint): FormValue {
  const form = reader.count();
  if (form === FORM.indirect) throw new UnwindDataError("an indirect form of an indirect one");
  return readForm(reader, form, unit, implicit);
}

/** The number that a value is; undefined where it is none. */
export function numberOf(found: FormValue | undefined): bigint | undefined {
  return found === undefined || typeof found.value !== "bigint" ? undefined : found.value;
}

/** The text that a value stands for. */
export async function textOf(info: DebugInfo, unit: Unit, found: FormValue | undefined): Promise<string | undefined> {
  if (found === undefined) return undefined;
  const { form, value } = found;
  if (form === FORM.string) return Buffer.from(typeof value === "bigint" ? NOTHING : value).toString("utf8");
  const offset = Number(numberOf(found) ?? 0n);
  if (form === FORM.strp) return info.text("str", offset);
  if (form === FORM.lineStrp) return info.text("line_str", offset);
  if (form === FORM.strpSup || form === FORM.gnuStrpAlt) return (await info.shared())?.text("str", offset);
  if (form === FORM.strx || form === FORM.gnuStrIndex || (form >= FORM.strx1 && form <= FORM.strx4)) {
    const width = unit.isWide ? 8 : 4;
    const at = await readNumber(info, "str_offsets", unit.bases.strings + offset * width, width);
    return at === undefined ? undefined : info.text("str", Number(at));
  }
  return undefined;
}

/** The address that a value stands for; undefined for what is a size. */
export async function addressOf(
  info: DebugInfo,
  unit: Unit,
  found: FormValue | undefined,
): Promise<bigint | undefined> {
  const value = numberOf(found);
  if (found === undefined || value === undefined) return undefined;
  const { form } = found;
  if (form === FORM.addr) return value;
  if (form === FORM.addrx || form === FORM.gnuAddrIndex || (form >= FORM.addrx1 && form <= FORM.addrx4))
    return readNumber(info, "addr", unit.bases.addresses + Number(value) * unit.wordBytes, unit.wordBytes);
  return undefined;
}

/** Where the entry lies that a value refers to, and in which file. */
export async function entryOf(
  info: DebugInfo,
  unit: Unit,
  found: FormValue | undefined,
): Promise<{ info: DebugInfo; at: number } | undefined> {
  const value = numberOf(found);
  if (found === undefined || value === undefined) return undefined;
  const { form } = found;
  if (form >= FORM.ref1 && form <= FORM.refUdata) return { info, at: unit.at + Number(value) };
  if (form === FORM.refAddr) return { info, at: Number(value) };
  if (form !== FORM.gnuRefAlt && form !== FORM.refSup4 && form !== FORM.refSup8) return undefined;
  const shared = await info.shared();
  return shared === undefined ? undefined : { info: shared, at: Number(value) };
}

/** Tell whether ranges are given by an index into a table. */
export function isRangeIndex({ form }: FormValue): boolean {
  return form === FORM.rnglistx;
}

/** Read a number of a section; undefined past its end. */
export async function readNumber(
  info: DebugInfo,
  name: "str_offsets" | "addr" | "rnglists",
  at: number,
  width: 4 | 8,
): Promise<bigint | undefined> {
  const bytes = await info.read(name, at, width);
  if (bytes.length < width) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, width);
  return width === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
}
