import { describe, expect, it } from "vitest";
import { resolveSettings } from "@cdh/core/config";
import { SeededRandom } from "@cdh/core/testing/random";
import { composerSettings } from "./settings.ts";
import { makeSettings } from "./testing/test-settings.ts";

describe("the composer's settings", () => {
  it.each([
    ["zstd", "zstd"],
    ["ZSTD", "zstd"],
    ["deflate", "deflate"],
    ["none", "none"],
    // IBM's switch.
    ["true", "deflate"],
    ["false", "none"],
  ])("COMPRESSION=%s", (text, compression) =>
    expect(makeSettings({ COMPRESSION: text }).compression).toBe(compression),
  );

  it.each([
    ["true", "facts"],
    ["environ", "environ"],
    ["none", "none"],
    ["Facts", "facts"],
  ])("INCLUDE_PROC_INFO=%s", (text, info) =>
    expect(makeSettings({ INCLUDE_PROC_INFO: text }).includeProcInfo).toBe(info),
  );

  it("TIMEOUT is in seconds, as IBM's, and takes a unit", () => {
    expect(makeSettings({ TIMEOUT: "30" }).timeoutMs).toBe(30_000);
    expect(makeSettings({ TIMEOUT: "2m" }).timeoutMs).toBe(120_000);
    expect(makeSettings({ METADATA_TIMEOUT: "500ms" }).metadataTimeoutMs).toBe(500);
  });

  it.each(["100d", "9".repeat(400), "1.0005", "2147483648"])(
    "TIMEOUT=%s is something that a timer can wait",
    (text) => {
      const { timeoutMs } = makeSettings({ TIMEOUT: text });
      expect(Number.isInteger(timeoutMs)).toBe(true);
      expect(timeoutMs).toBeLessThan(2 ** 31);
      expect(AbortSignal.timeout(timeoutMs).aborted).toBe(false);
    },
  );

  it("TIMEOUT=0 is no limit, not an end at once", () => {
    expect(makeSettings({ TIMEOUT: "0" }).timeoutMs).toBe(2 ** 31 - 1);
  });

  it("takes IBM's other name of PROC_ROOT", () => {
    expect(makeSettings({ OVERRIDE_PROC_FOLDER_PATH: "/host/proc" }).procRoot).toBe("/host/proc");
  });

  it("an unreadable value becomes its default and is told", () => {
    const { values, problems } = resolveSettings(composerSettings, {
      env: { COMPRESSION: "lzma", RATE_LIMIT: "often", KEEP_FREE: "120%", TIMEOUT: "soon" },
    });
    expect(values).toMatchObject({ compression: "zstd", rateLimit: { count: 5 }, timeoutMs: 600_000 });
    expect(problems.length).toBe(4);
  });

  it("never fails, whatever .env holds", () => {
    const names = Object.values(composerSettings).map(({ env }) => env);
    const parts = ["", "0", "-1", "1e999", "%", "5/1h", "true", "\u0000", "\ud800", "9".repeat(400), ",", "1Gi", "*"];
    for (let seed = 1; seed <= 2000; seed += 1) {
      const random = new SeededRandom(seed);
      const env = Object.fromEntries(names.map((name) => [name, `${random.pick(parts)}${random.pick(parts)}`]));
      const { timeoutMs, compressionLevel, queueSlots } = makeSettings(env);
      expect(Number.isFinite(timeoutMs) && timeoutMs >= 0, `seed ${seed}`).toBe(true);
      expect(compressionLevel >= 1 && compressionLevel <= 19 && queueSlots >= 1, `seed ${seed}`).toBe(true);
    }
  });
});
