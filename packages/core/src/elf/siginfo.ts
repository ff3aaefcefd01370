import { FieldReader, type ElfLayout } from "./bytes.ts";
import type { CoreSignal } from "./facts.ts";

/** `si_code` values that any signal can have. @see sigaction(2) and include/uapi/asm-generic/siginfo.h */
const COMMON_CODES: Record<number, string> = {
  0: "SI_USER",
  128: "SI_KERNEL",
  [-1]: "SI_QUEUE",
  [-2]: "SI_TIMER",
  [-3]: "SI_MESGQ",
  [-4]: "SI_ASYNCIO",
  [-5]: "SI_SIGIO",
  [-6]: "SI_TKILL",
  [-7]: "SI_DETHREAD",
  [-60]: "SI_ASYNCNL",
};

const EM_MIPS = 8;
const SIGILL = 4;
const SIGTRAP = 5;
const SIGBUS = 7;
const SIGFPE = 8;
const SIGSEGV = 11;
const SIGSYS = 31;

/** Positive `si_code` values, counted from 1, by signal. */
const SIGNAL_CODES: Record<number, readonly string[]> = {
  [SIGILL]: [
    "ILL_ILLOPC",
    "ILL_ILLOPN",
    "ILL_ILLADR",
    "ILL_ILLTRP",
    "ILL_PRVOPC",
    "ILL_PRVREG",
    "ILL_COPROC",
    "ILL_BADSTK",
    "ILL_BADIADDR",
  ],
  [SIGTRAP]: ["TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK", "TRAP_PERF"],
  [SIGBUS]: ["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"],
  [SIGFPE]: [
    "FPE_INTDIV",
    "FPE_INTOVF",
    "FPE_FLTDIV",
    "FPE_FLTOVF",
    "FPE_FLTUND",
    "FPE_FLTRES",
    "FPE_FLTINV",
    "FPE_FLTSUB",
    "FPE_DECOVF",
    "FPE_DECDIV",
    "FPE_DECERR",
    "FPE_INVASC",
    "FPE_INVDEC",
    "FPE_FLTUNK",
    "FPE_CONDTRAP",
  ],
  [SIGSEGV]: [
    "SEGV_MAPERR",
    "SEGV_ACCERR",
    "SEGV_BNDERR",
    "SEGV_PKUERR",
    "SEGV_ACCADI",
    "SEGV_ADIDERR",
    "SEGV_ADIPERR",
    "SEGV_MTEAERR",
    "SEGV_MTESERR",
    "SEGV_CPERR",
  ],
  [SIGSYS]: ["SYS_SECCOMP", "SYS_USER_DISPATCH"],
};

/** Signals whose siginfo holds an address when the machine raised them. */
const FAULTS = new Set([SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV]);

/** Codes whose siginfo names a sender. */
const SENT = new Set([0, -1, -6]);

/** Name an `si_code`: 11, 1 → `SEGV_MAPERR`; undefined when it has no name. */
export function signalCodeName(signal: number, code: number): string | undefined {
  return COMMON_CODES[code] ?? (code > 0 ? SIGNAL_CODES[signal]?.[code - 1] : undefined);
}

/** Read an NT_SIGINFO descriptor, a `siginfo_t`; undefined when it is too short to be one. */
export function tryParseSiginfo(bytes: Uint8Array, layout: ElfLayout, elfMachine?: number): CoreSignal | undefined {
  const at = new FieldReader(bytes, layout);
  if (at.length < 28) return undefined;
  const number = at.i32(0);
  // On MIPS the code comes before the error number.
  const code = at.i32(elfMachine === EM_MIPS ? 4 : 8);
  if (number < 1 || number > 64) return undefined;
  const signal: CoreSignal = { number, code };
  const codeName = signalCodeName(number, code);
  if (codeName !== undefined) signal.codeName = codeName;
  // The union is aligned to a pointer.
  const union = layout.bits === 64 ? 16 : 12;
  if (SENT.has(code)) {
    signal.senderPid = at.i32(union);
    signal.senderUid = at.u32(union + 4);
  } else if (number === SIGSYS && code > 0) {
    signal.syscall = at.i32(union + at.wordBytes);
  } else if (FAULTS.has(number) && code > 0 && code !== 128) {
    // SI_KERNEL carries no address: the processor did not say which (a non-canonical one on x86-64, for instance).
    signal.faultAddress = at.word(union);
  }
  return signal;
}
