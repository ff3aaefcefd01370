import type { SignalFacts } from "../bundle/manifest.ts";

/** What each `si_code` means, with `@` for the address. @see sigaction(2) */
const CODE_WORDS: Record<string, string> = {
  SEGV_MAPERR: "access to address @, not mapped",
  SEGV_ACCERR: "access to address @, mapped without the right for it",
  SEGV_BNDERR: "bounds check failed at address @",
  SEGV_PKUERR: "access to address @, refused by its protection key",
  SEGV_MTEAERR: "memory tag check failed (asynchronous)",
  SEGV_MTESERR: "memory tag check failed at address @",
  SEGV_CPERR: "control protection: a return address was changed",
  BUS_ADRALN: "misaligned access to address @",
  BUS_ADRERR: "access to address @, which no memory or file stands behind",
  BUS_OBJERR: "hardware error at address @",
  BUS_MCEERR_AR: "memory failed at address @ and was used",
  BUS_MCEERR_AO: "memory failed at address @",
  FPE_INTDIV: "integer division by zero at @",
  FPE_INTOVF: "integer overflow at @",
  FPE_FLTDIV: "floating-point division by zero at @",
  FPE_FLTOVF: "floating-point overflow at @",
  FPE_FLTUND: "floating-point underflow at @",
  FPE_FLTRES: "inexact floating-point result at @",
  FPE_FLTINV: "invalid floating-point operation at @",
  FPE_FLTSUB: "subscript out of range at @",
  ILL_ILLOPC: "illegal instruction at @",
  ILL_ILLOPN: "illegal operand at @",
  ILL_ILLADR: "illegal addressing mode at @",
  ILL_ILLTRP: "illegal trap at @",
  ILL_PRVOPC: "privileged instruction at @",
  ILL_PRVREG: "privileged register at @",
  ILL_COPROC: "coprocessor error at @",
  ILL_BADSTK: "internal stack error at @",
  TRAP_BRKPT: "breakpoint at @",
  TRAP_TRACE: "trace trap at @",
  TRAP_BRANCH: "branch trap at @",
  TRAP_HWBKPT: "hardware breakpoint at @",
  SYS_SECCOMP: "a system call that seccomp refuses",
};

/** Below this nothing is ever mapped: such an address is a null pointer and a field's offset. @see mmap_min_addr in proc_sys_vm(5) */
const NULL_PAGE_END = 0x10000n;

/**
 * Say in words what a signal means: `access to address 0x10, not mapped (a null pointer)`.
 * @param pc program counter of the crashed thread, to tell a wild jump from a wild access
 * @returns undefined when there is nothing to say beyond the signal's name
 */
export function describeSignal(signal: SignalFacts, pc?: string): string | undefined {
  const address = signal.faultAddress;
  const words = signal.codeName === undefined ? undefined : CODE_WORDS[signal.codeName];
  if (words !== undefined) {
    const isJump = signal.name === "SIGSEGV" && address !== undefined && pc !== undefined && sameAddress(address, pc);
    const text = (isJump ? words.replace(/^access to/, "jump to") : words).replace(/ (at|to) (address )?@/, (whole) =>
      address === undefined ? "" : whole.replace("@", address),
    );
    return isNullPointer(signal) ? `${text} (a null pointer)` : text;
  }
  // From the kernel itself on x86-64: an address that is not canonical has no page fault and no address.
  if (signal.codeName === "SI_KERNEL" && signal.name === "SIGSEGV")
    return "general protection fault: access to an address that cannot exist";
  if (signal.senderPid !== undefined && signal.senderPid !== 0) {
    const user = signal.senderUid === undefined ? "" : `, user ${signal.senderUid}`;
    return `sent by process ${signal.senderPid}${user}`;
  }
  if (signal.code !== undefined && signal.code <= 0) return "sent by a process";
  return undefined;
}

/** Tell whether a signal says that a null pointer was followed. */
export function isNullPointer(signal: SignalFacts): boolean {
  if (signal.name !== "SIGSEGV" || signal.faultAddress === undefined) return false;
  const address = tryParseAddress(signal.faultAddress);
  return address !== undefined && address < NULL_PAGE_END;
}

function sameAddress(left: string, right: string): boolean {
  const value = tryParseAddress(left);
  return value !== undefined && value === tryParseAddress(right);
}

/** Read `0x…`; undefined when it is no address. */
export function tryParseAddress(text: string): bigint | undefined {
  return /^0x[0-9a-f]{1,16}$/i.test(text) ? BigInt(text) : undefined;
}
