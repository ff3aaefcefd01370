import type { CoreReader } from "@cdh/core/bundle/core-reader";
import type { Manifest, ModuleFacts, ProcessFacts, SignalFacts, ThreadFacts } from "@cdh/core/bundle/manifest";
import { formatAddress, type CoreFacts, type CoreModule, type CoreSignal, type CoreThread } from "@cdh/core/elf/facts";
import { readCoreFacts } from "@cdh/core/elf/random-access";
import { signalName } from "@cdh/core/signals";

/** A compressed stream larger than this is not read through only to learn the modules' build-ids. */
const STREAM_SCAN_MAX_BYTES = 32 * 1024 * 1024;

/**
 * Read what a core says about its crash.
 * @param everything also what lies deep in a core that can only be read from its start
 */
export async function factsOf(
  core: CoreReader,
  options: { everything?: boolean; signal?: AbortSignal } = {},
): Promise<CoreFacts> {
  const isStream = core.layout !== "frames" && core.layout !== "stored";
  const shallow = isStream && core.storedBytes > STREAM_SCAN_MAX_BYTES && options.everything !== true;
  return readCoreFacts((offset, length) => core.read(offset, length, options.signal), {
    sizeBytes: core.sizeBytes ?? Number.MAX_SAFE_INTEGER,
    ...(shallow ? { limits: { modules: 0 } } : {}),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** Add to a manifest what it does not have and the core says. */
export function fillFromCore(manifest: Manifest, facts: CoreFacts, sizeBytes: number | undefined): Manifest {
  const signal = facts.signal === undefined ? undefined : signalFacts(facts.signal);
  const isWhole = sizeBytes !== undefined && facts.expectedBytes !== undefined && sizeBytes >= facts.expectedBytes;
  return {
    ...manifest,
    node: facts.machine === undefined ? manifest.node : { architecture: facts.machine.name, ...manifest.node },
    process: { ...processFacts(facts), ...manifest.process },
    signal:
      manifest.signal.number === 0 || manifest.signal.number === signal?.number
        ? { ...manifest.signal, ...signal }
        : manifest.signal,
    core: {
      ...manifest.core,
      // Without the core's size there is nothing to compare with.
      ...(facts.expectedBytes === undefined || sizeBytes === undefined ? {} : { expectedBytes: facts.expectedBytes }),
      complete: manifest.core.complete || isWhole,
    },
    threads: manifest.threads ?? facts.threads.map(threadFacts),
    modules: manifest.modules ?? facts.modules.map(moduleFacts),
    problems: [...manifest.problems, ...facts.problems],
  };
}

/** Write a thread as the manifest does. */
export function threadFacts(thread: CoreThread): ThreadFacts {
  const registers: Record<string, string> = { pc: formatAddress(thread.pc), sp: formatAddress(thread.sp) };
  for (const [name, value] of Object.entries(thread.registers ?? {})) registers[name] = formatAddress(value);
  return { tid: thread.tid, ...(thread.crashed ? { crashed: true } : {}), registers };
}

/** Write a module as the manifest does. */
export function moduleFacts(module: CoreModule): ModuleFacts {
  return {
    path: module.path,
    start: formatAddress(module.start),
    end: formatAddress(module.end),
    ...(module.buildId === undefined ? {} : { buildId: module.buildId }),
    ...(module.package === undefined ? {} : { package: module.package }),
  };
}

function signalFacts(signal: CoreSignal): SignalFacts {
  return {
    number: signal.number,
    name: signalName(signal.number),
    ...(signal.code === undefined ? {} : { code: signal.code }),
    ...(signal.codeName === undefined ? {} : { codeName: signal.codeName }),
    ...(signal.faultAddress === undefined ? {} : { faultAddress: formatAddress(signal.faultAddress) }),
    ...(signal.senderPid === undefined ? {} : { senderPid: signal.senderPid }),
    ...(signal.senderUid === undefined ? {} : { senderUid: signal.senderUid }),
  };
}

function processFacts(facts: CoreFacts): ProcessFacts {
  const program = facts.modules.find((module) => module.executable === true);
  const { process } = facts;
  return {
    ...(process === undefined
      ? {}
      : { comm: process.fname, pidInNamespace: process.pid, uid: process.uid, gid: process.gid }),
    ...(process === undefined || process.psargs === "" ? {} : { cmdline: [process.psargs.trim()] }),
    ...(program === undefined ? {} : { exe: program.path }),
    ...(program?.buildId === undefined ? {} : { exeBuildId: program.buildId }),
  };
}
