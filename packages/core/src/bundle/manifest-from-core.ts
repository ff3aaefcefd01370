import { signalName } from "../base/signals.ts";
import type { CoreFacts } from "../elf/facts.ts";
import { formatAddress } from "../elf/facts.ts";
import type { ModuleFacts, SignalFacts, StackFacts, ThreadFacts } from "./manifest.ts";

/** What is known of threads beside the core, by their ids in it. */
export interface ThreadExtras {
  names: ReadonlyMap<number, string>;
  stacks: ReadonlyMap<number, StackFacts>;
}

/**
 * Describe the signal from the kernel's word and the core's notes; number 0 without a name when neither tells.
 * @param number what the kernel said (%s), trusted before the core
 */
export function describeSignal(number: number | undefined, facts: CoreFacts | undefined): SignalFacts {
  const signal = facts?.signal;
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
export function describeThreads(facts: CoreFacts, extras?: ThreadExtras): ThreadFacts[] {
  return facts.threads.map((thread) => ({
    tid: thread.tid,
    ...(thread.crashed ? { crashed: true } : {}),
    ...definedOnly({ name: extras?.names.get(thread.tid) }),
    registers: {
      ...(thread.pc === undefined ? {} : { pc: formatAddress(thread.pc) }),
      ...(thread.sp === undefined ? {} : { sp: formatAddress(thread.sp) }),
      ...Object.fromEntries(
        Object.entries((thread.crashed ? thread.registers : undefined) ?? {}).map(([name, value]) => [
          name,
          formatAddress(value),
        ]),
      ),
    },
    ...definedOnly({ stack: extras?.stacks.get(thread.tid) }),
  }));
}

/** Leave out what is not known. */
function definedOnly<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

/** Describe the files that were mapped. */
export function describeModules(facts: CoreFacts): ModuleFacts[] {
  return facts.modules.map((module) => ({
    path: module.path,
    start: formatAddress(module.start),
    end: formatAddress(module.end),
    ...(module.fileOffset === undefined ? {} : { fileOffset: formatAddress(module.fileOffset) }),
    ...(module.buildId === undefined ? {} : { buildId: module.buildId }),
    ...(module.sha256 === undefined ? {} : { sha256: module.sha256 }),
    ...(module.package === undefined ? {} : { package: module.package }),
  }));
}
