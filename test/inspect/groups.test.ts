import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { FrameFacts, Manifest } from "@cdh/core/bundle/manifest";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries } from "@cdh/core/testing/sample-bundle";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";

const PAY = "pay | handle @ server";
const HOSTILE = "evil\u001b[31m @ server";

/** A stack as a composer before the keys wrote it. */
function stackOf(...names: (string | undefined)[]): Pick<Manifest, "threads" | "modules"> {
  const frames = names.map((name, index): FrameFacts => ({
    pc: "0x1",
    module: 0,
    offset: `0x${index}`,
    ...(name === undefined ? {} : { function: name }),
  }));
  return {
    threads: [{ tid: 1, crashed: true, registers: {}, stack: { frames, end: { kind: "outermost" } } }],
    modules: [{ path: "/usr/bin/server", start: "0x0", end: "0x1000", buildId: "ab" }],
  };
}

const image = (imageRef: string): Pick<Manifest, "container"> => ({ container: { id: "c", name: "app", imageRef } });
const pod = (owner: string, namespace = "shop"): Pick<Manifest, "pod"> => ({
  pod: { name: `${owner}-7d9f`, namespace, owner: { kind: "Deployment", name: owner } },
});
const cut: Manifest["core"] = {
  entry: "c",
  compression: "zstd",
  sizeBytes: 1,
  storedBytes: 1,
  complete: false,
  truncatedBy: "rlimit",
};

const CRASHES: Record<string, Partial<Manifest>> = {
  one: { crashedAt: "2026-11-01T00:00:00Z", signature: PAY, site: "00", ...image("server:1"), ...pod("server") },
  // Without keys, but with a stack.
  two: {
    crashedAt: "2026-11-03T00:00:00Z",
    ...stackOf("pay.isra.0", "handle(int)"),
    ...image("server:2"),
    ...pod("batch"),
  },
  three: {
    crashedAt: "2026-11-04T00:00:00Z",
    signature: PAY,
    core: cut,
    message: { kind: "panic", text: "panic: no \u001b[2Jroom", source: "memory" },
    node: { nodeName: "worker-9" },
    ...image("server:2"),
    ...pod("server"),
  },
  // Another tenant's program, that calls itself and its functions the same; the newest of all.
  impostor: { crashedAt: "2026-11-07T00:00:00Z", signature: PAY, site: "00", ...pod("server", "evil") },
  // Of the site of `one`, without its names, on a node of its own.
  nameless: {
    crashedAt: "2026-10-02T00:00:00Z",
    site: "00",
    node: { nodeName: "worker-7" },
    ...image("server:1"),
    ...pod("server"),
  },
  stripped: { crashedAt: "2026-11-02T00:00:00Z", ...stackOf(undefined, undefined, undefined) },
  hostile: { crashedAt: "2026-11-05T00:00:00Z", signature: HOSTILE },
  restricted: { crashedAt: "2026-11-06T00:00:00Z", signature: "secret @ server", site: "77", restricted: true },
  stackless: { crashedAt: "2026-10-01T00:00:00Z" },
};

describeUnless(notBuilt("cdh-inspect"), "cdh-inspect groups", () => {
  let place: string;

  const inspect = (...args: string[]): Promise<BuiltResult> => runBuilt("cdh-inspect", args);
  const groupsOf = async (...flags: string[]): Promise<CrashGroup[]> => {
    const result = await inspect("groups", "-o", "json", ...flags, place);
    expect(result).toMatchObject({ stderr: "", exitCode: 0 });
    return (JSON.parse(result.stdout) as { groups: CrashGroup[] }).groups;
  };
  const payGroup = async (): Promise<CrashGroup | undefined> =>
    (await groupsOf()).find(({ signature, namespace }) => signature === PAY && namespace === "shop");

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-groups-"));
    for (const [name, changes] of Object.entries(CRASHES)) {
      const { dumpInfo, core, log, manifest } = makeSampleEntries(undefined, { crashId: name, ...changes });
      await writeFile(join(place, `${name}.zip`), makeRawZip([dumpInfo, core, log, manifest]));
    }
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it("has one line per bug, the one seen last first", async () => {
    const groups = await groupsOf();
    expect(groups.map(({ key, count, lastSeen }) => [key, count, lastSeen?.slice(0, 10)])).toEqual([
      ["signature", 1, "2026-11-07"],
      ["site", 1, "2026-11-06"],
      ["signature", 1, "2026-11-05"],
      ["signature", 4, "2026-11-04"],
      ["site", 1, "2026-11-02"],
      ["none", 1, "2026-10-01"],
    ]);
    expect(groups[0]).toMatchObject({ namespace: "evil", newest: join(place, "impostor.zip") });
    expect(groups[3]).toMatchObject({
      id: expect.stringMatching(/^bug-[\da-f]{10}$/) as string,
      namespace: "shop",
      signature: PAY,
      firstSeen: "2026-10-02T00:00:00Z",
      images: ["server:1", "server:2"],
      workloads: ["shop/server", "shop/batch"],
      nodes: ["worker-7", "worker-3", "worker-9"],
      wholeCores: 3,
      message: "panic: no \u001b[2Jroom",
      newest: join(place, "three.zip"),
      newestWhole: join(place, "two.zip"),
    });
    expect(JSON.stringify(groups)).not.toContain("secret");
  });

  it("warns of a node on which many bugs were seen that were seen nowhere else", async () => {
    const spoiled = await mkdtemp(join(tmpdir(), "cdh-suspect-"));
    try {
      for (let bug = 0; bug < 14; bug += 1) {
        const nodeName = bug < 9 ? "worker-bad" : `worker-${bug}`;
        const { dumpInfo, core, log, manifest } = makeSampleEntries(undefined, {
          crashId: `bug-${bug}`,
          signature: `f${bug} | main @ server`,
          node: { nodeName },
          signs: ["faultOneBit"],
        });
        await writeFile(join(spoiled, `${bug}.zip`), makeRawZip([dumpInfo, core, log, manifest]));
      }
      const { stderr } = await inspect("groups", spoiled);
      expect(stderr).toMatch(
        /^worker-bad has 9 of 14 bugs that were seen on one node alone; with equal shares of 6 nodes the chance is \d\.\de-\d+,/,
      );
      expect((await inspect("show", join(spoiled, "1.zip"))).stdout).toMatch(/^Signs +faultOneBit$/m);
      expect((await inspect("groups", place)).stderr).toBe("");
    } finally {
      await rm(spoiled, { recursive: true, force: true });
    }
  });

  it("is a table for people, in which nothing of a process reaches the terminal as it is", async () => {
    const { stdout, exitCode } = await inspect("groups", place);
    expect(exitCode).toBe(0);
    expect(stdout.split("\n")[0]).toMatch(
      /^GROUP +CRASHES +CORES +FIRST SEEN \(UTC\) +LAST SEEN \(UTC\) +.*WHAT +MESSAGE$/,
    );
    expect(stdout).toMatch(
      /^bug-[\da-f]{10} +4 +3 +2026-10-02 00:00 +2026-11-04 00:00 +SIGSEGV +shop\/server \+1 +server:1 \+1 +worker-7 \+2 +pay \| handle @ server +panic: no \\x1b\[2Jroom$/m,
    );
    expect(stdout).toContain("evil\\x1b[31m");
    const lines = await inspect("groups", "-o", "jsonl", "--limit", "2", place);
    expect(lines.stdout.trimEnd().split("\n")).toHaveLength(2);
  });

  it("counts only what is asked for", async () => {
    const counts = async (...flags: string[]): Promise<number[]> =>
      (await groupsOf(...flags)).map(({ count }) => count);
    expect(await counts("--image", "server:2")).toEqual([2]);
    expect(await counts("--workload", "batch")).toEqual([1]);
    expect(await counts("--node", "worker-9")).toEqual([1]);
    expect(await counts("--since", "2026-11-03T00:00:00Z", "--container", "app", "--exe", "server")).toEqual([
      1, 1, 1, 2,
    ]);
    expect(await counts("--container", "sidecar")).toEqual([]);
  });

  it("leads to its crashes", async () => {
    const { id = "" } = (await payGroup()) ?? {};
    const listed = await inspect("ls", "-q", "--group", id, place);
    expect(listed.stdout.split("\n")).toEqual(
      ["three", "two", "one", "nameless"].map((name) => join(place, `${name}.zip`)).concat(""),
    );
    expect((await inspect("ls", "-q", "--limit", "1", "--group", id, place)).stdout).toBe(
      `${join(place, "three.zip")}\n`,
    );
    expect(await inspect("ls", "--group", "pay", place)).toMatchObject({ exitCode: 10 });
    expect(await inspect("ls", "--limit", "few", place)).toMatchObject({ exitCode: 10 });
  });

  it("has the same id for a part of its crashes, by which it is found", async () => {
    const { id = "" } = (await payGroup()) ?? {};
    const [ofNode] = await groupsOf("--node", "worker-7");
    expect(ofNode).toMatchObject({ id, signature: PAY, count: 1, newest: join(place, "nameless.zip") });
    expect((await inspect("ls", "-q", "--node", "worker-7", "--group", id, place)).stdout).toBe(
      `${join(place, "nameless.zip")}\n`,
    );
    expect(await inspect("show", join(place, id))).toMatchObject({ exitCode: 0, stderr: "" });
  });

  it("is shown with its newest whole crash", async () => {
    const { id = "" } = (await payGroup()) ?? {};
    const { stdout, exitCode, stderr } = await inspect("show", join(place, id));
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`${id}: ${PAY}`);
    expect(stdout).toMatch(/^Crashes +4, 3 with a whole core$/m);
    expect(stdout).toMatch(/^Images +server:1 \(first\), server:2$/m);
    expect(stdout).toMatch(/^Bundle +.*two\.zip/m);
    const report = JSON.parse((await inspect("show", "-o", "json", join(place, id))).stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ group: { id, count: 4 }, manifest: { crashId: "two" } });
    // Other verbs take it too.
    expect((await inspect("logs", join(place, id))).stdout).toContain("about to fall over");
    const missing = await inspect("show", join(place, "bug-0123456789"));
    expect(missing).toMatchObject({ exitCode: 12, stdout: "" });
    expect(missing.stderr).toContain("cdh-inspect groups");
  });
});
