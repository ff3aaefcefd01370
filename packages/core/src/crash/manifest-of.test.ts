import { describe, expect, it } from "vitest";
import type { CoreFacts } from "../elf/facts.ts";
import { ElfCoreScanner } from "../elf/scanner.ts";
import { manifestOf, withCoreFacts, type KnownCrash } from "./manifest-of.ts";

const KNOWN: KnownCrash = {
  crashId: "id",
  bundle: "N.zip",
  crashedAtMs: 0,
  composer: { version: "1" },
  node: { nodeName: "node", clusterName: undefined },
  process: { comm: undefined, uid: 7 },
  signal: undefined,
  core: { entry: "N.core", compression: "none", sizeBytes: 100, storedBytes: 100 },
  problems: [{ step: "a", code: "CDH_A" }],
};

const CORE: CoreFacts = {
  ...new ElfCoreScanner().finish(),
  isCore: true,
  expectedBytes: 100,
  machine: { name: "other", elfMachine: 243, bits: 64, endian: "little" },
  signal: { number: 11, code: 1, codeName: "SEGV_MAPERR", faultAddress: 16n },
  process: { pid: 3, uid: 1, gid: 2, fname: "app", psargs: " app --x  " } as CoreFacts["process"] & object,
  modules: [{ path: "/bin/app", start: 1n, end: 2n, buildId: "ab", executable: true }],
  problems: [{ step: "core", code: "CDH_B" }],
};

describe("manifestOf", () => {
  it("leaves out what is not known, in the manifest's order", () => {
    expect(JSON.stringify(manifestOf(KNOWN))).toBe(
      '{"schemaVersion":1,"crashId":"id","bundle":"N.zip","crashedAt":"1970-01-01T00:00:00.000Z","composer":{"version":"1"},' +
        '"node":{"nodeName":"node"},"process":{"uid":7},"signal":{"number":0,"name":""},' +
        '"core":{"entry":"N.core","compression":"none","sizeBytes":100,"storedBytes":100,"complete":false},' +
        '"problems":[{"step":"a","code":"CDH_A"}]}',
    );
  });

  it("completes it with what the core says, and contradicts nothing", () => {
    expect(manifestOf({ ...KNOWN, restricted: true }, CORE)).toEqual({
      ...manifestOf(KNOWN),
      node: { nodeName: "node", architecture: "riscv64" },
      process: {
        pidInNamespace: 3,
        uid: 7,
        gid: 2,
        comm: "app",
        exe: "/bin/app",
        exeBuildId: "ab",
        cmdline: [" app --x"],
      },
      signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: "0x10" },
      core: { ...KNOWN.core, expectedBytes: 100, complete: true },
      restricted: true,
      modules: [{ path: "/bin/app", start: "0x1", end: "0x2", buildId: "ab" }],
      problems: [
        { step: "a", code: "CDH_A" },
        { step: "core", code: "CDH_B" },
      ],
    });
    // The core tells of another signal than the kernel did.
    expect(manifestOf({ ...KNOWN, signal: 6 }, CORE).signal).toEqual({ number: 6, name: "SIGABRT" });
  });

  it("says why a core is not whole, unless nobody could read it", () => {
    const longer = { ...CORE, expectedBytes: 101 };
    expect(manifestOf(KNOWN, longer).core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
    const cut = { ...KNOWN, core: { ...KNOWN.core, truncatedBy: "rlimit" as const } };
    expect(manifestOf(cut, CORE).core).toMatchObject({ complete: false, truncatedBy: "rlimit" });
    const opaque = { ...KNOWN, core: { ...KNOWN.core, isOpaque: true } };
    expect(manifestOf(opaque, new ElfCoreScanner().finish()).core).not.toHaveProperty("truncatedBy");
  });

  it("knows no time that no calendar has", () => {
    expect(manifestOf({ ...KNOWN, crashedAtMs: 1e300 }).crashedAt).toBe("");
    expect(manifestOf({ ...KNOWN, crashedAtMs: undefined }).crashedAt).toBe("");
  });
});

describe("withCoreFacts", () => {
  it("does not say whether a core is whole whose size is not known", () => {
    const { core } = withCoreFacts(manifestOf(KNOWN), CORE, undefined);
    expect(core).toEqual({ ...KNOWN.core, complete: false });
  });
});
