import { describe, expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { buildCorePattern, CORE_PATTERN_MAX_BYTES, isOurPattern, parseCorePattern } from "./pattern.ts";

const IBM_LINE =
  "|/var/mnt/core-dump-handler/cdc -c=%c -e=%e -p=%p -s=%s -t=%t -d=/var/mnt/core-dump-handler/cores -h=%h -E=%E";

describe("buildCorePattern", () => {
  it("writes the whole line for the default directory", () => {
    const pattern = buildCorePattern("/var/mnt/core-dump-handler");
    expect(pattern).toBe(
      "|/var/mnt/core-dump-handler/cdc -P=%P -p=%p -i=%I -u=%u -g=%g -s=%s -t=%t -c=%c -m=%d -F=%F -h=%h -e=%e -E=%E",
    );
    expect(Buffer.byteLength(pattern)).toBeLessThanOrEqual(CORE_PATTERN_MAX_BYTES);
  });

  it("drops -g, -i, -u and -E in this order as the directory grows, and refuses when the rest does not fit", () => {
    const seen: string[] = [];
    let refused: unknown;
    for (let length = 1; length < 80; length += 1) {
      try {
        const pattern = buildCorePattern(`/${"d".repeat(length)}`);
        expect(Buffer.byteLength(pattern)).toBeLessThanOrEqual(CORE_PATTERN_MAX_BYTES);
        const missing = ["g", "i", "u", "E"].filter((flag) => !pattern.includes(` -${flag}=`)).join("");
        if (seen.at(-1) !== missing) seen.push(missing);
      } catch (error) {
        refused ??= error;
        expect(Buffer.byteLength(`/${"d".repeat(length)}`)).toBe(
          ((error as CdhError).details["maxHostDirBytes"] as number) + 1,
        );
        break;
      }
    }
    expect(seen).toEqual(["", "g", "gi", "giu", "giuE"]);
    expect(refused).toBeInstanceOf(CdhError);
    expect((refused as CdhError).code).toBe("CDH_PATTERN_TOO_LONG");
  });

  it("counts bytes, not characters", () => {
    expect(() => buildCorePattern(`/${"ü".repeat(40)}`)).toThrow(CdhError);
  });

  it.each(["", "relative/dir", "/with blank", "/tab\there", "/line\nfeed", "/nul\u0000"])("refuses %j", (hostDir) => {
    expect(() => buildCorePattern(hostDir)).toThrow(expect.objectContaining({ code: "CDH_CONFIG_INVALID" }));
  });

  it("doubles a percent sign and folds slashes, and recognises its own work", () => {
    const pattern = buildCorePattern("/a%p//b/");
    expect(pattern.startsWith("|/a%%p/b/cdc -P=%P ")).toBe(true);
    expect(isOurPattern(pattern, "/a%p/b")).toBe(true);
  });
});

describe("parseCorePattern", () => {
  it.each([
    ["core\n", { kind: "file", path: "core" }],
    ["/var/cores/core.%e.%p\n", { kind: "file", path: "/var/cores/core.%e.%p" }],
    ["", { kind: "file", path: "" }],
    [
      "|/usr/lib/systemd/systemd-coredump %P %u %g\n",
      { kind: "pipe", executable: "/usr/lib/systemd/systemd-coredump", args: ["%P", "%u", "%g"] },
    ],
    ["| /bin/false", { kind: "pipe", executable: "/bin/false", args: [] }],
    ["|", { kind: "pipe", executable: "", args: [] }],
    ["@/run/coredump.socket", { kind: "socket", path: "/run/coredump.socket", protocol: 1 }],
    ["@@/run/coredump.socket", { kind: "socket", path: "/run/coredump.socket", protocol: 2 }],
  ])("reads %j", (text, expected) => {
    expect(parseCorePattern(text)).toEqual(expected);
  });
});

describe("isOurPattern", () => {
  it("knows its own line in any directory", () => {
    for (const dir of ["/a", "/var/mnt/core-dump-handler", "/home/kubernetes/bin/x", `/${"d".repeat(40)}`]) {
      expect(isOurPattern(`${buildCorePattern(dir)}\n`)).toBe(true);
      expect(isOurPattern(buildCorePattern(dir), dir)).toBe(true);
      expect(isOurPattern(buildCorePattern(dir), `${dir}x`)).toBe(false);
    }
  });

  it("knows IBM's line, also cut at 127 bytes", () => {
    expect(isOurPattern(IBM_LINE)).toBe(true);
    expect(
      isOurPattern(IBM_LINE.replaceAll("/var/mnt/", "/var/some/much/longer/place/").slice(0, CORE_PATTERN_MAX_BYTES)),
    ).toBe(true);
  });

  it.each([
    "core",
    "|/usr/share/apport/apport -p%p",
    "|/usr/lib/systemd/systemd-coredump %P",
    "/x/cdc -P=%P",
    "|cdc -P=%P",
    "|/x/cdc",
    "|/x/acdc -P=%P",
  ])("refuses %j", (text) => {
    expect(isOurPattern(text)).toBe(false);
  });
});
