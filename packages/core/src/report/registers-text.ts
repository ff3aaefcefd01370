import { printable } from "../cli/output.ts";
import type { Paint } from "./paint.ts";
import type { RegisterReport, Report } from "./report.ts";

/** Registers that a person never needs on the first screen. */
const HIDDEN = /^(orig_rax|orig_ax|eflags|pstate|cs|ss|ds|es|fs|gs|fs_base|gs_base)$/;
/** Registers that say where the thread was; each has a line of its own. */
const PLACES = /^(pc|rip|eip|sp|rsp|esp|lr|bp|rbp|fp)$/;
/** What fits into the 80 columns of a usual terminal. */
const COLUMNS = 3;
const PLACES_IN_LINE = 2;
const PLACE_WIDTH = 28;

/**
 * Lay out the crashed thread's registers: first those that say where it was, then the others in columns, then where the
 * values among them point.
 */
export function registerLines(report: Report, paint: Paint): string[] {
  const registers = dropAliases(report.crashedThread?.registers ?? []);
  const first = registers
    .filter(({ name }) => PLACES.test(name))
    .toSorted((left, right) => rank(left.name) - rank(right.name));
  const rest = registers.toSorted(byName).filter(({ name }) => !PLACES.test(name) && !HIDDEN.test(name));
  const lines = first.map((register) => {
    const place = register.place === undefined ? "" : paint.cyan(printable(register.place));
    return `  ${cell(register, paint)}  ${place}`.trimEnd();
  });
  for (let index = 0; index < rest.length; index += COLUMNS) {
    const cells = rest.slice(index, index + COLUMNS);
    lines.push(`  ${cells.map((register) => cell(register, paint)).join("  ")}`.trimEnd());
  }
  const pointing = rest.filter(({ place }) => place !== undefined);
  for (let index = 0; index < pointing.length; index += PLACES_IN_LINE) {
    const places = pointing
      .slice(index, index + PLACES_IN_LINE)
      .map(({ name, place }) => `${name.padEnd(3)} → ${printable(place ?? "").padEnd(PLACE_WIDTH)}`);
    lines.push(paint.dim(`  ${places.join("  ").trimEnd()}`));
  }
  return lines;
}

/** Order a thread's registers for people: those that say where it was come first, what nobody needs is left out. */
export function orderRegisters(registers: readonly RegisterReport[]): RegisterReport[] {
  const shown = dropAliases(registers).filter(({ name }) => !HIDDEN.test(name));
  const first = shown.filter(({ name }) => PLACES.test(name));
  const rest = shown.filter(({ name }) => !PLACES.test(name));
  return [...first.toSorted((left, right) => rank(left.name) - rank(right.name)), ...rest.toSorted(byName)];
}

/** `pc` and `sp` repeat the machine's own names. */
function dropAliases(registers: readonly RegisterReport[]): RegisterReport[] {
  const names = new Set(registers.map(({ name }) => name));
  const isX86 = names.has("rip") || names.has("eip");
  return registers.filter(({ name }) => !(isX86 && (name === "pc" || name === "sp")));
}

/** The order in which people know x86-64's registers; those of other machines are numbered. */
const ORDER = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9"];

function byName(left: { name: string }, right: { name: string }): number {
  const [a, b] = [left, right].map(({ name }) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length));
  if (a !== b) return (a ?? 0) - (b ?? 0);
  // x9 before x10; loading the locale's rules for that would take longer than everything else here.
  return left.name.length - right.name.length || (left.name < right.name ? -1 : 1);
}

function rank(name: string): number {
  if (/^(pc|rip|eip)$/.test(name)) return 0;
  return /^(sp|rsp|esp)$/.test(name) ? 1 : 2;
}

function cell({ name, value }: RegisterReport, paint: Paint): string {
  return `${paint.dim(printable(name).padEnd(3))} ${printable(value).padEnd(18)}`;
}
