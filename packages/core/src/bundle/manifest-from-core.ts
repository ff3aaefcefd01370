import type { CoreFacts } from "../elf/facts.ts";
import { formatAddress } from "../elf/facts.ts";
import { signalName } from "../signals.ts";
import type { ModuleFacts, SignalFacts, ThreadFacts } from "./manifest.ts";

/** Most threads that a manifest lists; the crashed one is always among them. */
const THREADS_MAX = 4096;

/**
 * Describe the signal from the kernel's word and the core's notes; number 0 without a name when neither tells.
 * @param number what the kernel said (%s), trusted before the core
 */
export function describeSignal(number: number | undefined, facts: CoreFacts): SignalFacts {
  const { signal } = facts;
  const known = number ?? signal?.number ?? 0;
  const details = signal?.number === known ? signal : undefined;
  return {
    number: known,
    name: known === 0 ? "" : signalName(known),
    ...(details?.code === undefined ? {} : { code: details.code }),
    ...(details?.codeName === undefined ? {} : { codeName: details.codeName }),
    ...(details?.faultAddress === undefined ? {} : { faultAddress: formatAddress(details.faultAddress) }),
    ...(details?.senderPid === undefined ? {} : { senderPid: details.senderPid }),
    ...(details?.senderUid === undefined ? {} : { senderUid: details.senderUid }),
  };
}

/** Describe the threads: every register of the crashed one, `pc` and `sp` of the others. */
export function describeThreads(facts: CoreFacts): ThreadFacts[] {
  return facts.threads.slice(0, THREADS_MAX).map((thread) => ({
    tid: thread.tid,
    ...(thread.crashed ? { crashed: true } : {}),
    registers: {
      pc: formatAddress(thread.pc),
      sp: formatAddress(thread.sp),
      ...Object.fromEntries(
        Object.entries((thread.crashed ? thread.registers : undefined) ?? {}).map(([name, value]) => [
          name,
          formatAddress(value),
        ]),
      ),
    },
  }));
}

/** Describe the files that were mapped. */
export function describeModules(facts: CoreFacts): ModuleFacts[] {
  return facts.modules.map((module) => ({
    path: module.path,
    start: formatAddress(module.start),
    end: formatAddress(module.end),
    ...(module.buildId === undefined ? {} : { buildId: module.buildId }),
    ...(module.package === undefined ? {} : { package: module.package }),
  }));
}
