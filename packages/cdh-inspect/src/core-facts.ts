import type { CoreReader } from "@cdh/core/bundle/core-reader";
import type { Manifest, ProcessFacts } from "@cdh/core/bundle/manifest";
import { describeModules, describeSignal, describeThreads } from "@cdh/core/bundle/manifest-from-core";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { readCoreFacts } from "@cdh/core/elf/random-access";

/** A compressed stream larger than this is not read through only to learn the modules' build-ids. */
const STREAM_SCAN_MAX_BYTES = 32 * 1024 * 1024;

/** As many threads as stacks are walked of: where a caller is may be told by any register. */
const REGISTER_SETS = 4096;

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
    limits: {
      ...(shallow ? { modules: 0 } : {}),
      ...(options.everything === true ? { registerSets: REGISTER_SETS } : {}),
    },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** Add to a manifest what it does not have and the core says. */
export function fillFromCore(manifest: Manifest, facts: CoreFacts, sizeBytes: number | undefined): Manifest {
  const told = manifest.signal.number === 0 ? facts.signal?.number : manifest.signal.number;
  const isWhole = sizeBytes !== undefined && facts.expectedBytes !== undefined && sizeBytes >= facts.expectedBytes;
  return {
    ...manifest,
    node: facts.machine === undefined ? manifest.node : { architecture: facts.machine.name, ...manifest.node },
    process: { ...processFacts(facts), ...manifest.process },
    signal: told === undefined ? manifest.signal : describeSignal(told, facts),
    core: {
      ...manifest.core,
      // Without the core's size there is nothing to compare with.
      ...(facts.expectedBytes === undefined || sizeBytes === undefined ? {} : { expectedBytes: facts.expectedBytes }),
      complete: manifest.core.complete || isWhole,
    },
    threads: manifest.threads ?? describeThreads(facts),
    modules: manifest.modules ?? describeModules(facts),
    problems: [...manifest.problems, ...facts.problems],
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
