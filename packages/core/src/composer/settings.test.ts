import { describe, expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { resolveSettings } from "../service/config.ts";
import { SeededRandom } from "../testing/random.ts";
import { findComposerSetting } from "./known-names.ts";
import { composerSettings, type ComposerSettings } from "./settings.ts";

const makeSettings = (env: Record<string, string>): ComposerSettings =>
  resolveSettings(composerSettings, { env }).values;

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

  // cdc and cdh-sysctl had a table each, and disagreed on these.
  it.each([
    ["KEEP_FREE", "150%", { keepFree: { fraction: 0.16 } }],
    ["KEEP_FREE_INODES", "150%", { keepFreeInodes: { fraction: 0.06 } }],
    ["RATE_LIMIT", "5/xyz", { rateLimit: { count: 5, windowMs: 3_600_000 } }],
    ["RATE_LIMIT_POD", "1/1y", { rateLimitPod: { count: 20, windowMs: 3_600_000 } }],
    // An empty text is no wish for no limit, or for no compression.
    ["RATE_LIMIT_NAMESPACE", "", { rateLimitNamespace: { count: 100, windowMs: 3_600_000 } }],
    ["COMPRESSION", "", { compression: "zstd" }],
    ["INCLUDE_PROC_INFO", "", { includeProcInfo: "facts" }],
    ["MEMORY_MAX", "", { memoryMax: 256 * 1024 ** 2 }],
    ["SIGNAL_EXCLUDE", "SIGQUIT,SIGNOPE", { signalExclude: [] }],
    ["FILENAME_TEMPLATE", "{nosuch}", { filenameTemplate: composerSettings.filenameTemplate.default }],
    // A watch renews its lease every minute: with this one the node would get its values back in between.
    ["WATCH_LEASE", "1m", { watchLeaseMs: 7 * 24 * 3_600_000 }],
  ])("%s=%j is refused, and the default holds", (name, text, values) => {
    const known = findComposerSetting(name);
    expect(() => known.kind === "setting" && known.setting.parse(text)).toThrow(CdhError);
    const resolved = resolveSettings(composerSettings, { env: { [name]: text } });
    expect(resolved.values).toMatchObject(values);
    expect(resolved.problems).toEqual([expect.stringContaining(name)]);
  });

  it.each([
    ["RATE_LIMIT", "5/h", { rateLimit: { count: 5, windowMs: 3_600_000 } }],
    ["RATE_LIMIT", "0", { rateLimit: undefined }],
    ["SIGNAL_EXCLUDE", "segv, 3", { signalExclude: [11, 3] }],
    ["WATCH_LEASE", "0", { watchLeaseMs: 0 }],
    ["WATCH_LEASE", "10m", { watchLeaseMs: 600_000 }],
    ["OVERRIDE_PROC_FOLDER_PATH", "/host/proc", { procRoot: "/host/proc" }],
    ["CORE_EVENT_DIR", "/e", { eventDirectory: "/e" }],
    ["FILENAME_TEMPLATE", "{{uuid}}-{exe_name}", { filenameTemplate: "{{uuid}}-{exe_name}" }],
  ])("%s=%j is read", (name, text, values) => {
    const resolved = resolveSettings(composerSettings, { env: { [name]: text } });
    expect(resolved.values).toMatchObject(values);
    expect(resolved.problems).toEqual([]);
  });

  it("knows IBM's image command, which has no effect, and knows when it knows nothing", () => {
    expect(findComposerSetting("CRIO_IMAGE_CMD").kind).toBe("ignored");
    expect(findComposerSetting("toString").kind).toBe("unknown");
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
