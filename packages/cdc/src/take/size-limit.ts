import { WRITE_LIMITS } from "@cdh/core/bundle/limits";
import type { TruncatedBy } from "@cdh/core/bundle/manifest";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import type { Crash } from "@cdh/core/kernel/crash";

/** A seek table of a longer core would be one that readers refuse: 1 TiB. */
const CORE_MAX_BYTES = WRITE_LIMITS.seekTableFrames * FRAME_BYTES;

/** Say how much of a core is kept at most, and which limit that is. */
export function sizeLimit(crash: Crash, settings: ComposerSettings): { bytes: number; by: TruncatedBy } {
  const rlimit =
    settings.rlimitCore === "honour" && typeof crash.rlimitCoreBytes === "number"
      ? crash.rlimitCoreBytes
      : Number.POSITIVE_INFINITY;
  const max = Math.min(settings.coreSizeMax ?? CORE_MAX_BYTES, CORE_MAX_BYTES);
  return rlimit < max ? { bytes: rlimit, by: "rlimit" } : { bytes: max, by: "coreSizeMax" };
}
