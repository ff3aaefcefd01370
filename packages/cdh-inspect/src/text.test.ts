import { describe, expect, it } from "vitest";
import { makeAddressMap, formatPlace } from "@cdh/core/report/address-map";
import { hexdump } from "./hexdump.ts";
import { parseLocation } from "./location.ts";
import { formatMoment } from "@cdh/core/report/moment";
import { parseMoment } from "./moment.ts";
import { parseRange } from "./numbers.ts";
import { looksLikeCore, parseCoreFileName } from "./plain/names.ts";
import { drawBar } from "@cdh/core/progress";
import { salvageJsonTexts } from "./salvage.ts";
import { shellQuote } from "./stack/image.ts";

const invalid = expect.objectContaining({ code: "CDH_CONFIG_INVALID" });

describe("parseRange", () => {
  it.each([
    ["0+64Ki", 0n, 65_536],
    ["0x7f0000001000+256", 0x7f0000001000n, 256],
    ["0x1000-0x2000", 0x1000n, 0x1000],
    ["4096", 4096n, undefined],
    ["0xffffffffffffffff+1", 0xffff_ffff_ffff_ffffn, 1],
  ])("reads %s", (text, start, length) => {
    expect(parseRange(text)).toEqual({ start, length });
  });

  it.each(["", "x", "0x", "5-3", "-5", "1+", "1+2+3", "0x11111111111111111"])("refuses %j", (text) => {
    expect(() => parseRange(text)).toThrow(invalid);
  });
});

describe("parseMoment", () => {
  const now = Date.UTC(2026, 10, 21, 12);

  it.each([
    ["2h", Date.UTC(2026, 10, 21, 10)],
    ["1d12h", Date.UTC(2026, 10, 20, 0)],
    ["2026-11-20", Date.UTC(2026, 10, 20)],
    ["2026-11-20T06:00:00Z", Date.UTC(2026, 10, 20, 6)],
    ["2026-11-20 06:00:00", Date.UTC(2026, 10, 20, 6)],
  ])("reads %s", (text, expected) => {
    expect(parseMoment(text, now)).toBe(expected);
  });

  it("refuses what is no time, and shows times without their fraction", () => {
    expect(() => parseMoment("yesterday", now)).toThrow(invalid);
    expect(() => parseMoment("2026-13-45", now)).toThrow(invalid);
    expect(formatMoment("2026-11-21T08:26:11.123Z")).toBe("2026-11-21 08:26:11");
  });
});

describe("parseLocation", () => {
  it("tells paths, files and buckets", () => {
    expect(parseLocation("./a/b.zip")).toEqual({ kind: "path", path: "./a/b.zip" });
    expect(parseLocation("file:///a/b%20c.zip")).toEqual({ kind: "path", path: "/a/b c.zip" });
    expect(parseLocation("s3://bucket")).toEqual({ kind: "s3", bucket: "bucket", key: "" });
    expect(parseLocation("s3://bucket/a/b.zip")).toEqual({ kind: "s3", bucket: "bucket", key: "a/b.zip" });
    expect(parseLocation("C:\\cores\\a.zip")).toEqual({ kind: "path", path: "C:\\cores\\a.zip" });
    for (const wrong of ["ftp://a/b", "s3:///x", "file://host/x"]) expect(() => parseLocation(wrong)).toThrow(invalid);
  });
});

describe("makeAddressMap", () => {
  const map = makeAddressMap([
    { path: "/lib/libc.so.6", start: "0x2000", end: "0x3000" },
    { path: "/bin/server", start: "0x1000", end: "0x1800", buildId: "aa" },
    { path: "/lib/empty", start: "0x5000", end: "0x5000" },
    { path: "/lib/broken", start: "here", end: "there" },
  ]);

  it("finds the module and the offset, and nothing between modules", () => {
    expect(map.find(0x1010n)).toEqual({ path: "/bin/server", offset: 0x10n, buildId: "aa" });
    expect(formatPlace(map.find(0x2fffn) ?? { path: "", offset: 0n })).toBe("libc.so.6+0xfff");
    for (const address of [0n, 0xfffn, 0x1800n, 0x3000n, 0x5000n]) expect(map.find(address)).toBeUndefined();
  });
});

describe("names of cores", () => {
  it("reads systemd's and the kernel's", () => {
    expect(parseCoreFileName("core.my\\x20app.0.0123456789abcdef0123456789abcdef.77.1795249571123456.lz4")).toEqual({
      comm: "my app",
      uid: 0,
      bootId: "0123456789abcdef0123456789abcdef",
      pid: 77,
      crashedAt: "2026-11-21T08:26:11.123Z",
    });
    expect(parseCoreFileName("core.4211")).toEqual({ pid: 4211 });
    expect(parseCoreFileName("holiday.jpg")).toEqual({});
    expect(["core", "core.12", "a.core.zst", "core.a.zst"].every(looksLikeCore)).toBe(true);
    expect(["score", "core-dump.zip", "a.zip"].some(looksLikeCore)).toBe(false);
  });
});

describe("salvageJsonTexts", () => {
  it("takes each value up to the next key", () => {
    const text = '{"uuid": "u-1","exe": "a"b\\",c","signal": "11","path": "!bin!a"b"}';
    expect(salvageJsonTexts(text)).toEqual({ uuid: "u-1", exe: 'a"b\\",c', signal: "11", path: '!bin!a"b' });
    expect(salvageJsonTexts("not json at all")).toEqual({});
  });
});

describe("what is shown", () => {
  it("dumps bytes with their address", () => {
    expect(hexdump(Buffer.from("abc\u001b"), 0x1000n)).toBe(`000000001000  61 62 63 1b${" ".repeat(39)}|abc.|\n`);
  });

  it("draws progress with rate and time left", () => {
    expect(drawBar("core", 512 * 1024, 1024 * 1024, 512 * 1024, 1000)).toBe(
      `core  [${"#".repeat(12)}${".".repeat(12)}]  50%  512 KiB of 1.0 MiB  512 KiB/s, 1.0 s left`,
    );
    expect(drawBar("core", 100, undefined, 100, 1000)).toBe("core  100 B  100 B/s");
  });

  it("quotes words for a shell", () => {
    expect(shellQuote("registry.example/a:1@sha256:ab")).toBe("registry.example/a:1@sha256:ab");
    expect(shellQuote("a'; rm -rf /")).toBe(`'a'\\''; rm -rf /'`);
  });
});
