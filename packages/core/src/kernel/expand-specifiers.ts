import type { Crash } from "./crash.ts";

/** 2^64 − 1, as the kernel writes a limit that there is none of. */
const RLIM_INFINITY = "18446744073709551615";

/** What /proc told of the process, for specifiers that a short kernel line had no room for. */
export interface SpecifierExtras {
  uid?: number | undefined;
  gid?: number | undefined;
  exe?: string | undefined;
}

/**
 * Expand one word of a pipe pattern as the kernel does, from what it told us about the crash. A specifier that nobody
 * told us is dropped, as the kernel drops one it does not know.
 * @see core(5), fs/coredump.c format_corename
 */
export function expandSpecifiers(word: string, crash: Crash, extras: SpecifierExtras = {}): string {
  return word.replaceAll(/%(.|$)/gsu, (_match, letter: string) => valueOf(letter, crash, extras) ?? "");
}

function valueOf(letter: string, crash: Crash, extras: SpecifierExtras): string | undefined {
  const number = (value: number | undefined): string | undefined => value?.toString();
  switch (letter) {
    case "%":
      return "%";
    case "p":
      return number(crash.pidInNamespace ?? crash.pid);
    case "P":
      return number(crash.pid);
    case "i":
      return number(crash.tidInNamespace ?? crash.tid ?? crash.pidInNamespace);
    case "I":
      return number(crash.tid ?? crash.pid);
    case "u":
      return number(crash.uid ?? extras.uid);
    case "g":
      return number(crash.gid ?? extras.gid);
    case "d":
      return number(crash.dumpMode);
    case "s":
      return number(crash.signal);
    case "t":
      return number(crash.timestamp);
    case "c":
      return crash.rlimitCoreBytes === "unlimited" ? RLIM_INFINITY : number(crash.rlimitCoreBytes);
    case "h":
      return crash.hostname;
    case "e":
      return crash.comm;
    case "f":
      return nameOf(crash.exe ?? extras.exe) ?? crash.comm;
    case "E":
      return crash.pathname ?? extras.exe?.replaceAll("/", "!");
    case "F":
      return number(crash.pidfd);
    default:
      return undefined;
  }
}

function nameOf(path: string | undefined): string | undefined {
  return path?.slice(path.lastIndexOf("/") + 1);
}
