import type { CoreReader } from "@cdh/core/bundle/core-layout";
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
