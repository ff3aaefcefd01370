import { describe, expect, it } from "vitest";
import { isKernelMode, parseKernelArguments } from "./arguments.ts";
import { buildCorePattern } from "./pattern.ts";

/** Expand a pattern the way kernels since 5.3 do: split first, then fill in. */
function expand(pattern: string, values: Record<string, string>): string[] {
  return pattern
    .split(" ")
    .slice(1)
    .map((word) => word.replaceAll(/%(.)/g, (_match, letter: string) => values[letter] ?? ""));
}

/** Expand the way older kernels do: fill in first, then split at every blank. */
function expandOld(pattern: string, values: Record<string, string>): string[] {
  return expand(pattern, values).join(" ").split(/\s+/).filter(Boolean);
}

const OURS = buildCorePattern("/var/mnt/core-dump-handler");
const IBM = "|/x/cdc -c=%c -e=%e -p=%p -s=%s -t=%t -d=/x/cores -h=%h -E=%E";
const VALUES = {
  P: "4711",
  p: "1",
  I: "4712",
  u: "1000",
  g: "1001",
  s: "11",
  t: "1700000000",
  c: "18446744073709551615",
  d: "2",
  F: "3",
  h: "web-0",
  e: "server",
  E: "!usr!bin!server",
};

describe("our line", () => {
  it("gives every field", () => {
    const crash = parseKernelArguments(expand(OURS, VALUES));
    expect(crash).toEqual({
      pid: 4711,
      pidInNamespace: 1,
      tid: 4712,
      uid: 1000,
      gid: 1001,
      signal: 11,
      timestamp: 1700000000,
      rlimitCoreBytes: "unlimited",
      dumpMode: 2,
      pidfd: 3,
      hostname: "web-0",
      comm: "server",
      pathname: "!usr!bin!server",
      exe: "/usr/bin/server",
      raw: {
        P: "4711",
        p: "1",
        i: "4712",
        u: "1000",
        g: "1001",
        s: "11",
        t: "1700000000",
        c: VALUES.c,
        m: "2",
        F: "3",
        h: "web-0",
        e: "server",
        E: "!usr!bin!server",
      },
      rest: [],
      problems: [],
    });
  });

  it("reads an empty -F and empty values as absent, without a problem", () => {
    const crash = parseKernelArguments(expand(OURS, { ...VALUES, F: "", h: "", e: "" }));
    expect(crash).not.toHaveProperty("pidfd");
    expect(crash).not.toHaveProperty("comm");
    expect(crash.problems).toEqual([]);
  });

  it.each([
    ["blanks", "my own server", "my own server"],
    ["a flag's look", "x -P=1", "x -P=1"],
    ["two flags", "-P=1 -d=/etc", "-P=1 -d=/etc"],
    ["an unknown flag", "node --inspect", "node --inspect"],
    ["a long name", "a --pid=1 --dir=/", "a --pid=1 --dir=/"],
  ])(
    "keeps a name with %s whole on kernels before 5.3, and the trusted values as they are",
    (_what, comm, expected) => {
      for (const words of [expandOld(OURS, { ...VALUES, e: comm }), expandOld(OURS, { ...VALUES, e: comm, F: "" })]) {
        const crash = parseKernelArguments(words);
        expect(crash).toMatchObject({ comm: expected, pid: 4711, uid: 1000, dumpMode: 2, exe: "/usr/bin/server" });
        expect(crash).not.toHaveProperty("dir");
      }
    },
  );

  it("lets no untrusted value change a trusted one, whichever of them holds blanks", () => {
    const attack = "a -P=1 -u=0 -g=0 -m=1 -F=9 -s=6 -d=/etc -T=0 -D -c=0 -t=0 --timeout=0";
    const short = buildCorePattern(`/${"d".repeat(60)}`);
    for (const pattern of [OURS, short]) {
      const honest = parseKernelArguments(expandOld(pattern, VALUES));
      for (const letter of ["h", "e", "E"]) {
        const crash = parseKernelArguments(expandOld(pattern, { ...VALUES, [letter]: attack }));
        for (const key of [
          "pid",
          "tid",
          "uid",
          "gid",
          "dumpMode",
          "pidfd",
          "signal",
          "dir",
          "timeoutSeconds",
          "disableCompression",
          "rlimitCoreBytes",
          "timestamp",
        ] as const) {
          expect([key, crash[key]]).toEqual([key, honest[key]]);
        }
      }
    }
  });
});

describe("IBM's line", () => {
  it("gives its fields", () => {
    expect(parseKernelArguments(expand(IBM, { ...VALUES, c: "0" }))).toMatchObject({
      pidInNamespace: 1,
      signal: 11,
      rlimitCoreBytes: 0,
      dir: "/x/cores",
      comm: "server",
      hostname: "web-0",
      exe: "/usr/bin/server",
      problems: [],
    });
  });

  it("takes blanks and long names", () => {
    const words = [
      "--limit-size",
      "4096",
      "--exe-name=a b",
      "--pid",
      "7",
      "--signal=6",
      "--timestamp",
      "5",
      "--dir",
      "/d",
      "--hostname",
      "h",
      "--pathname",
      "!x",
      "--timeout",
      "9",
      "--disable-compression",
    ];
    expect(parseKernelArguments(words)).toMatchObject({
      rlimitCoreBytes: 4096,
      comm: "a b",
      pidInNamespace: 7,
      signal: 6,
      timestamp: 5,
      dir: "/d",
      hostname: "h",
      exe: "/x",
      timeoutSeconds: 9,
      disableCompression: true,
      rest: [],
      problems: [],
    });
    expect(parseKernelArguments(["-c", "1", "-p", "2", "-D", "false", "-h", "name"])).toMatchObject({
      rlimitCoreBytes: 1,
      pidInNamespace: 2,
      disableCompression: false,
      hostname: "name",
    });
  });

  it("believes nobody when a split name has added a second, different value", () => {
    const crash = parseKernelArguments(expandOld(IBM, { ...VALUES, e: "x -d=/etc" }));
    expect(crash).not.toHaveProperty("dir");
    expect(crash.problems).toContainEqual(expect.objectContaining({ code: "CDH_ARGUMENT_REPEATED" }));
    expect(parseKernelArguments(expandOld(IBM, { ...VALUES, E: "!x -d=/etc" }))).not.toHaveProperty("dir");
  });
});

describe("any words", () => {
  it("lets the first of two equal flags count and keeps the other", () => {
    const crash = parseKernelArguments(["-P=1", "-P=2"]);
    expect(crash.pid).toBe(1);
    expect(crash.rest).toEqual(["-P=2"]);
    expect(crash.problems[0]?.code).toBe("CDH_ARGUMENT_REPEATED");
  });

  it.each([
    ["-P=0", "pid"],
    ["-P=-1", "pid"],
    ["-P=1e3", "pid"],
    ["-P=99999999999999999999", "pid"],
    ["-P= 7", "pid"],
    ["-u=4294967296", "uid"],
    ["-s=0", "signal"],
    ["-s=65", "signal"],
    ["-t=9999999999999999", "timestamp"],
    ["-c=18446744073709551616", "rlimitCoreBytes"],
    ["-c=x", "rlimitCoreBytes"],
    ["-m=3", "dumpMode"],
  ])("%s is out of range: absent, and a problem", (word, key) => {
    const crash = parseKernelArguments([word]);
    expect(crash).not.toHaveProperty(key);
    expect(crash.problems).toEqual([expect.objectContaining({ step: "arguments", code: "CDH_ARGUMENT_INVALID" })]);
  });

  it("keeps unknown words, and notes a flag without its value", () => {
    const crash = parseKernelArguments(["stray", "-x=1", "--unknown", "-P"]);
    expect(crash.rest).toEqual(["stray", "-x=1", "--unknown"]);
    expect(crash.problems).toEqual([expect.objectContaining({ code: "CDH_ARGUMENT_MISSING" })]);
  });

  it("reads broken UTF-8 and names of object properties as they are", () => {
    expect(parseKernelArguments(["-e=\ufffd\ud800x"]).comm).toBe("\ufffd\ud800x");
    expect(parseKernelArguments(["--constructor=1", "--__proto__=2"]).rest).toHaveLength(2);
  });

  it.each([
    ["vim (path unknown)", {}],
    ["!tmp!a.out (deleted)", { exe: "/tmp/a.out", exeDeleted: true }],
    ["!opt!my app!run", { exe: "/opt/my app/run" }],
  ])("decodes the path %j", (pathname, expected) => {
    const { exe, exeDeleted } = parseKernelArguments([`-E=${pathname}`]);
    expect(JSON.parse(JSON.stringify({ exe, exeDeleted }))).toEqual(expected);
  });
});

describe("isKernelMode", () => {
  it("takes only a first word that is a verb for a person's", () => {
    for (const verb of ["replay", "--version", "--self-test", "--help"]) expect(isKernelMode([verb, "x"])).toBe(false);
    for (const argv of [
      [],
      expand(OURS, VALUES),
      expand(IBM, VALUES),
      ["-h=5"],
      ["-P=1", "--help"],
      ["-e=x", "replay"],
    ])
      expect(isKernelMode(argv)).toBe(true);
  });
});
