import type { Manifest, ThreadFacts } from "../bundle/manifest.ts";
import { makeAddressMap } from "./address-map.ts";
import { tryParseAddress } from "./signal-words.ts";

/** File names of C libraries whose abort() ends in a halt: glibc's and musl's. */
const C_LIBRARY = /(?:^|\/)(?:libc(?:-[\d.]+)?\.so|libc\.so\.6|ld-musl-[^/]*)/;

/** Registers that do not hold addresses. */
const NO_ADDRESSES = new Set(["rip", "pc", "eflags", "orig_rax", "cs", "ss", "ds", "es", "fs", "gs"]);

/**
 * Tell whether a SIGSEGV is the end of an abort() in a container's first process. The kernel ignores SIGABRT that pid 1
 * sends to itself; the C library then executes `hlt`, which is not allowed to programs, and the kernel reports that
 * as a general protection fault without an address. A wild access gives the same, but then a register holds an address that
 * cannot exist; after `hlt` none does.
 */
export function isAbortInPid1({ signal, process, modules, node }: Manifest, crashed: ThreadFacts | undefined): boolean {
  if (process.pidInNamespace !== 1 || signal.name !== "SIGSEGV" || signal.codeName !== "SI_KERNEL") return false;
  if (crashed === undefined || (node.architecture !== undefined && node.architecture !== "x64")) return false;
  const pc = tryParseAddress(crashed.registers["rip"] ?? "");
  const place = pc === undefined ? undefined : makeAddressMap(modules ?? []).find(pc);
  if (place === undefined || !C_LIBRARY.test(place.path)) return false;
  const values = Object.entries(crashed.registers).filter(([name]) => !NO_ADDRESSES.has(name));
  return values.length > 0 && values.every(([, value]) => isCanonical(tryParseAddress(value)));
}

/** What to say of it. */
export const ABORT_IN_PID1 =
  "abort() in pid 1: the kernel ignores SIGABRT there, so the C library halted; a parent process (shareProcessNamespace, tini) lets it end as SIGABRT";

/** Whether an address can exist on x86-64: bits 47 to 63 are all alike. */
function isCanonical(address: bigint | undefined): boolean {
  if (address === undefined) return false;
  const high = address >> 47n;
  return high === 0n || high === 0x1ffffn;
}
