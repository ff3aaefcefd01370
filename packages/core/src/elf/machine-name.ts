import type { CoreMachine } from "./facts.ts";

/** The kernel's and distributions' names of machines, by `e_machine`. @see elf(5) */
const NAMES: Partial<Record<number, string>> = {
  2: "sparc",
  3: "i386",
  4: "m68k",
  8: "mips",
  15: "parisc",
  20: "ppc",
  22: "s390",
  40: "arm",
  42: "sh",
  43: "sparc64",
  50: "ia64",
  243: "riscv",
  258: "loongarch",
};

/** Name the machine of a core as `uname -m` and Debian do; one that is not known by its number. */
export function machineName({ name, elfMachine, bits, endian }: CoreMachine): string {
  if (elfMachine === 62) return bits === 64 ? "x64" : "x32";
  if (elfMachine === 183) return bits === 64 ? "arm64" : "arm64ilp32";
  if (elfMachine === 21) return endian === "little" ? "ppc64le" : "ppc64";
  if (elfMachine === 22 && bits === 64) return "s390x";
  if (elfMachine === 243) return `riscv${bits}`;
  if (elfMachine === 8) return `mips${bits === 64 ? "64" : ""}${endian === "little" ? "el" : ""}`;
  if (name !== "other") return name;
  return NAMES[elfMachine] ?? `machine ${elfMachine}`;
}
