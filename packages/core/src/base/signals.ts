/**
 * Signal numbers of Linux on x86-64 and arm64 (they agree).
 * @see signal(7)
 */
const SIGNAL_NAMES: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  10: "SIGUSR1",
  11: "SIGSEGV",
  12: "SIGUSR2",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  16: "SIGSTKFLT",
  17: "SIGCHLD",
  18: "SIGCONT",
  19: "SIGSTOP",
  20: "SIGTSTP",
  21: "SIGTTIN",
  22: "SIGTTOU",
  23: "SIGURG",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  26: "SIGVTALRM",
  27: "SIGPROF",
  28: "SIGWINCH",
  29: "SIGIO",
  30: "SIGPWR",
  31: "SIGSYS",
};

/** Name a signal: 11 → `SIGSEGV`; real-time signals as `SIGRTMIN+n`, anything else as `SIG<n>`. */
export function signalName(number: number): string {
  const name = SIGNAL_NAMES[number];
  if (name !== undefined) return name;
  if (number >= 34 && number <= 64) return number === 34 ? "SIGRTMIN" : `SIGRTMIN+${number - 34}`;
  return `SIG${number}`;
}

/** Find a signal's number from `SIGSEGV`, `segv` or `11`; undefined when it is none. */
export function tryParseSignal(text: string): number | undefined {
  const wanted = text.trim().toUpperCase();
  if (/^\d{1,2}$/.test(wanted)) return Number(wanted);
  const full = wanted.startsWith("SIG") ? wanted : `SIG${wanted}`;
  for (const [number, name] of Object.entries(SIGNAL_NAMES)) if (name === full) return Number(number);
  return undefined;
}
