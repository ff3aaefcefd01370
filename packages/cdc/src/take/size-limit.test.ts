import { describe, expect, it } from "vitest";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import { sizeLimit } from "./size-limit.ts";

const crash = (rlimitCoreBytes: number | "unlimited") => ({ rlimitCoreBytes }) as Parameters<typeof sizeLimit>[0];
const settings = (coreSizeMax?: number) => ({ rlimitCore: "honour", coreSizeMax }) as ComposerSettings;

describe("how much of a core is kept", () => {
  it("is what the settings and the process allow, whichever is less", () => {
    expect(sizeLimit(crash("unlimited"), settings(4096))).toEqual({ bytes: 4096, by: "coreSizeMax" });
    expect(sizeLimit(crash(100), settings(4096))).toEqual({ bytes: 100, by: "rlimit" });
  });

  it("is never more than readers take, whatever the settings say", () => {
    for (const wanted of [undefined, 2 ** 50]) {
      const { bytes, by } = sizeLimit(crash("unlimited"), settings(wanted));
      expect(bytes / FRAME_BYTES).toBeLessThanOrEqual(READ_LIMITS.seekTableFrames);
      expect(by).toBe("coreSizeMax");
    }
  });
});
