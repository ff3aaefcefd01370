import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { notBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig, smallCore } from "./drive.ts";

const CORE = smallCore(Buffer.from("memory ".repeat(1000)));

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "the composer's words and settings", () => {
  it.each([
    { title: "no words at all", args: [] },
    { title: "unknown flags", args: [...kernelWords(), "-Z=1", "--foo", "bar", "--", "-"] },
    {
      title: "flags that a command line library would take for help",
      args: ["-h=5", "--help=x", "-v", "--version=2", ...kernelWords()],
    },
    { title: "a verb's name as a value's leftover", args: ["-e=a", "replay", "x", "--self-test"] },
    {
      title: "numbers that are none",
      args: kernelWords({ P: "x", p: "-1", s: "999", t: "1e99", c: "many", u: "", m: "7" }),
    },
    { title: "empty values", args: ["-P=", "-p=", "-s=", "-t=", "-c=", "-h=", "-e=", "-E="] },
    { title: "ten thousand words", args: [...kernelWords(), ...Array.from({ length: 10_000 }, (_, i) => `w${i}`)] },
    { title: "a value of 100 kB", args: kernelWords({ e: "x".repeat(100_000) }) },
    {
      title: "paths, quotes, control characters",
      args: kernelWords({ e: `../../$(touch /tmp/x)"'\n\u001b[2J`, h: "../..", E: "!..!..!etc!passwd" }),
    },
  ])("$title: the core is kept", async ({ args }) => {
    await using rig = makeRig();
    const result = await rig.run(CORE, { args });
    expect([0, 3]).toContain(result.exitCode);
    const bundle = await rig.bundle();
    expect(bundle.manifest.core).toMatchObject({ complete: true, sizeBytes: CORE.length });
    for (const entry of bundle.entries) expect(entry.name).not.toMatch(/^\.|\/|\\|\p{Cc}/u);
    JSON.parse((await bundle.read("-dump-info.json")).toString());
  });

  it("random words never lose the core", async () => {
    const random = new SeededRandom(20_240_117);
    const letters = [..."-=PpiusgtcmFheEdTD0123456789 \"'\\/.{}%\n\u00e9x"];
    await using rig = makeRig();
    const RUNS = 25;
    for (let run = 0; run < RUNS; run++) {
      const args = Array.from({ length: random.integer(20) }, () =>
        Array.from({ length: random.integer(12) }, () => random.pick(letters)).join(""),
      ).filter((word) => !["replay", "--version", "--self-test", "--help"].includes(word) && !/^-d=|^--dir/.test(word));
      await rig.run(CORE, { args });
      const bundles = rig.spool().filter((name) => name.endsWith(".zip")).length;
      expect({ args, bundles }).toEqual({ args, bundles: run + 1 });
    }
  });

  it("IBM's own kernel line and .env work as they are", async () => {
    await using rig = makeRig();
    const spool = join(rig.hostDir, "elsewhere");
    rig.env(
      [
        "LOG_LEVEL=Debug",
        "IGNORE_CRIO=true",
        "INCLUDE_PROC_INFO=false",
        "CRIO_IMAGE_CMD=images",
        "USE_CRIO_CONF=false",
        "FILENAME_TEMPLATE={uuid}-dump-{timestamp}-{hostname}-{exe_name}-{pid}-{signal}",
        "LOG_LENGTH=500",
        "POD_SELECTOR_LABEL=",
        "TIMEOUT=600",
        "COMPRESSION=true",
        "CORE_EVENTS=true",
        `EVENT_DIRECTORY=${join(rig.hostDir, "events")}`,
        "",
      ].join("\n"),
    );
    const args = [
      "-c=18446744073709551615",
      "-e=node",
      "-p=4",
      "-s=10",
      "-t=1588462466",
      `-d=${spool}`,
      "-h=buzz-7c8d-x2",
      "-E=!target!debug!core-dump-composer",
    ];
    const result = await rig.run(CORE, { args });
    expect(result.exitCode).toBe(0);
    const names = readdirSync(spool).filter((name) => name.endsWith(".zip") && !name.startsWith("."));
    expect(names.length).toBe(1);
    expect(names[0]).toMatch(/^[0-9a-f-]{36}-dump-1588462466-buzz-7c8d-x2-node-4-10\.zip$/);
    const bundle = await openBundleFile(join(spool, names[0] ?? ""));
    const name = (names[0] ?? "").replace(/\.zip$/, "");
    expect(bundle.entries.map((entry) => entry.name)).toEqual(
      expect.arrayContaining([`${name}-dump-info.json`, `${name}.core`]),
    );
    expect(bundle.entries.find((entry) => entry.name === `${name}.core`)?.method).toBe("deflate");
    const dumpInfo = JSON.parse((await bundle.read("-dump-info.json")).toString()) as Record<string, string>;
    expect(dumpInfo).toMatchObject({
      timestamp: "1588462466",
      hostname: "buzz-7c8d-x2",
      exe: "node",
      real_pid: "4",
      signal: "10",
      path: "!target!debug!core-dump-composer",
    });
    const events = readdirSync(join(rig.hostDir, "events"));
    expect(events).toEqual([`${dumpInfo["uuid"] ?? ""}-event.json`]);
    const event = JSON.parse(readFileSync(join(rig.hostDir, "events", events[0] ?? ""), "utf8")) as Record<
      string,
      unknown
    >;
    expect(Object.keys(event)).toEqual([
      "image_list",
      "key",
      "exe_path",
      "labels",
      "limit_size",
      "exe_name",
      "pid",
      "signal",
      "timestamp",
      "hostname",
      "namespace",
      "uuid",
    ]);
  });

  it("without an .env the defaults hold", async () => {
    await using rig = makeRig();
    rmSync(join(rig.hostDir, ".env"));
    const result = await rig.run(CORE);
    expect(result.exitCode).toBe(0);
    const { manifest } = await rig.bundle();
    expect(manifest.core.compression).toBe("zstd");
    expect(manifest.bundle).toMatch(/^[0-9a-f-]{36}-dump-1700000000-node-1-crashy-4194303-11\.zip$/);
  });

  it.each([
    { title: "bytes that are no text", env: Buffer.from([0xff, 0xfe, 0x00, 0x0a, 0x3d, 0x3d, 0x0a, 0x80]) },
    {
      title: "values of no use",
      env: "COMPRESSION=lzma\nTIMEOUT=soon\nCORE_SIZE_MAX=-1\nRATE_LIMIT=often\nLOG_LENGTH=many\nKEEP_FREE=x\nCOMPRESSION_LEVEL=999\n",
    },
    { title: "lines that are none", env: "=\n[section\n;;\nexport\n\"\n'\n" },
    { title: "a megabyte of it", env: `X=${"y".repeat(1_000_000)}\n` },
  ])("a broken .env ($title): the core is kept with defaults, and the problem is recorded", async ({ title, env }) => {
    await using rig = makeRig();
    rig.env(env);
    await rig.run(CORE);
    const { manifest } = await rig.bundle();
    expect(manifest.core.complete).toBe(true);
    if (title === "values of no use") {
      const details = JSON.stringify(manifest.problems);
      for (const name of ["COMPRESSION", "TIMEOUT", "CORE_SIZE_MAX", "RATE_LIMIT"]) expect(details).toContain(name);
    }
  });

  it(".env is a directory: the core is kept, and the problem is recorded", async () => {
    await using rig = makeRig();
    rmSync(join(rig.hostDir, ".env"));
    mkdirSync(join(rig.hostDir, ".env"));
    await rig.run(CORE);
    const { manifest } = await rig.bundle();
    expect(manifest.problems.length).toBeGreaterThan(0);
  });

  it.each([{ template: "{nosuch}-{uuid}" }, { template: "{uuid" }, { template: "" }, { template: "{if x}" }])(
    "the bad template $template falls back to the default, as any setting, and is recorded",
    async ({ template }) => {
      await using rig = makeRig();
      rig.env({ FILENAME_TEMPLATE: template });
      await rig.run(CORE);
      const { manifest } = await rig.bundle();
      expect(manifest.bundle).toMatch(/^[0-9a-f-]{36}-dump-1700000000-node-1-crashy-4194303-11\.zip$/);
      expect(JSON.stringify(manifest.problems)).toContain("FILENAME_TEMPLATE");
    },
  );

  it("a template that comes out empty gives the uuid, and is recorded", async () => {
    await using rig = makeRig();
    rig.env({ FILENAME_TEMPLATE: "{exe_build_id}" });
    await rig.run(CORE);
    const { manifest } = await rig.bundle();
    expect(manifest.bundle).toBe(`${manifest.crashId}.zip`);
    expect(manifest.problems).toContainEqual(expect.objectContaining({ step: "name" }));
  });

  it("two crashes with a template that gives one name are both kept", async () => {
    await using rig = makeRig();
    rig.env({ FILENAME_TEMPLATE: "same" });
    await rig.run(CORE);
    await rig.run(CORE);
    expect((await rig.bundles()).length).toBe(2);
  });

  it("a template with slashes and dots stays one plain file name", async () => {
    await using rig = makeRig();
    rig.env({ FILENAME_TEMPLATE: "../../{exe_name}/..{hostname}.x" });
    await rig.run(CORE);
    const { manifest } = await rig.bundle();
    expect(manifest.bundle).not.toMatch(/\/|^\./);
    expect(existsSync(join(rig.coreDir, "..", "..", "crashy"))).toBe(false);
  });
});
