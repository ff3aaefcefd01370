import { describe, expect, it } from "vitest";
import { looksLikeCore, parseCoreName, parseSystemdCoreName } from "./core-name.ts";

const BOOT = "0123456789abcdef0123456789abcdef";
const BOOT_ID = "01234567-89ab-cdef-0123-456789abcdef";

describe("names of cores", () => {
  it.each([
    [
      `core.sleep.0.${BOOT}.12.1764000000123456`,
      { comm: "sleep", uid: 0, bootId: BOOT_ID, pid: 12, crashedAt: 1_764_000_000_123 },
    ],
    [
      `core.a\\x2eb\\x20c.1000.${BOOT}.12.1764000000000000.lz4`,
      { comm: "a.b c", uid: 1000, bootId: BOOT_ID, pid: 12, crashedAt: 1_764_000_000_000 },
    ],
  ])("reads systemd's %s", (name, wanted) => {
    expect(parseCoreName(name)).toEqual(wanted);
    expect(parseSystemdCoreName(name)).toEqual(wanted);
  });

  // The inspector once took each byte for a letter of Latin-1.
  it("takes systemd's escapes for the bytes of UTF-8", () => {
    expect(parseCoreName(`core.caf\\xc3\\xa9.0.${BOOT}.1.1764000000000000.zst`).comm).toBe("café");
    expect(parseCoreName(`core.日\\xc3\\xa9.0.${BOOT}.1.1764000000000000.zst`).comm).toBe("日é");
  });

  it.each([
    "core",
    "core.sleep",
    "core.sleep.0.xyz.12.1764000000123456",
    // A time that no calendar has.
    `core.sleep.0.${BOOT}.12.99999999999999999999`,
    `.#core.x.0.${BOOT}.1.1764000000000000`,
  ])("does not take %s for systemd's", (name) => expect(parseSystemdCoreName(name)).toBeUndefined());

  it.each([
    ["core", {}],
    ["core.4711", { pid: 4711 }],
    ["core-sleep-1764000000-12-11", { comm: "sleep", crashedAt: 1_764_000_000_000, pid: 12, signal: 11 }],
    ["core-my-app-1764000000-12-6.gz", { comm: "my-app", crashedAt: 1_764_000_000_000, pid: 12, signal: 6 }],
    ["core.sleep.12.1764000000", { comm: "sleep", pid: 12, crashedAt: 1_764_000_000_000 }],
    ["core-anything-else", {}],
    ["holiday.jpg", {}],
    // What `cdh-sysctl` sets in file mode; the inspector once did not know it.
    [
      "core.web-7d9f.my.app.4242.11.1764000000.cdh",
      { hostname: "web-7d9f", comm: "my.app", pid: 4242, signal: 11, crashedAt: 1_764_000_000_000 },
    ],
    [
      "core.web-7d9f.app.4242.11.1764000000.cdh.zst",
      { hostname: "web-7d9f", comm: "app", pid: 4242, signal: 11, crashedAt: 1_764_000_000_000 },
    ],
    ["core..app.1.11.1764000000.cdh", {}],
  ])("reads the plain name %s", (name, wanted) => expect(parseCoreName(name)).toEqual(wanted));

  it("tells which files of a directory may be cores", () => {
    const cores = [
      "core",
      "core.12",
      "a.core.zst",
      "core.a.zst",
      "core.h.e.1.11.1764000000.cdh",
      "core-a-1764000000-1-11",
    ];
    expect(cores.filter((name) => !looksLikeCore(name))).toEqual([]);
    expect(["score", "core-dump.zip", "a.zip", "core-values.yaml"].filter(looksLikeCore)).toEqual([]);
  });
});
