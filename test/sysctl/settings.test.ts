import { expect, it } from "vitest";
import { makeRig, smallCore } from "../composer/drive.ts";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeHost, OWN, sysctlSuiteUnavailable } from "./host.ts";

/** A text that no composer can read, for each setting that can be told one. */
const UNREADABLE: Readonly<Record<string, string>> = {
  LOG_LEVEL: "loud",
  COMPRESSION: "lzma",
  COMPRESSION_LEVEL: "20",
  COMPRESSION_THREADS: "-1",
  TIMEOUT: "soon",
  METADATA_TIMEOUT: "soon",
  FILENAME_TEMPLATE: "{what}",
  CORE_SIZE_MAX: "-1",
  MEMORY_MAX: "much",
  MAX_USE: "10%",
  KEEP_FREE: "150%",
  KEEP_FREE_INODES: "150%",
  RLIMIT_CORE: "maybe",
  SPOOL_GROUP: "adm",
  RATE_LIMIT: "5/xyz",
  RATE_LIMIT_POD: "often",
  RATE_LIMIT_NAMESPACE: "5",
  SIGNAL_EXCLUDE: "SIGQUIT,SIGNOPE",
  HOST_CRASHES: "drop",
  IGNORE_CRIO: "perhaps",
  USE_CRIO_CONF: "perhaps",
  INCLUDE_PROC_INFO: "all",
  LOG_LENGTH: "many",
  CORE_EVENTS: "perhaps",
  WATCH_LEASE: "1m",
  CONCURRENCY: "0",
};

const names = Object.keys(UNREADABLE).sort();
const firstWord = (text: string): string => text.split(" ")[0] ?? "";

describeUnless(notBuilt("cdc") ?? sysctlSuiteUnavailable(), "a setting of the composer that can't be read", () => {
  it("is refused by cdh-sysctl, all of them at once, and nothing is changed", async () => {
    using host = makeHost();
    const words = Object.entries(UNREADABLE).flatMap(([name, text]) => ["--set", `${name}=${text}`]);
    const result = await host.run(["install", ...words, "-o", "json"]);
    expect(result.exitCode).toBe(10);
    const { problems } = JSON.parse(result.stdout) as { problems: { message: string }[] };
    expect(problems.map(({ message }) => firstWord(message)).sort()).toEqual(names);
    expect(host.values()).toEqual(OWN);
  });

  it("is told in the bundle by cdc, by the same words, and the core is kept with the default", async () => {
    await using rig = makeRig();
    rig.env(UNREADABLE);
    const result = await rig.run(smallCore(Buffer.from("memory")));
    expect([0, 3]).toContain(result.exitCode);
    const { manifest } = await rig.bundle();
    const told = manifest.problems.filter(({ step }) => step === "settings");
    expect(told.map(({ detail }) => firstWord(detail ?? "")).sort()).toEqual(names);
    expect(manifest.core).toMatchObject({ complete: true, compression: "zstd" });
    using host = makeHost();
    const words = Object.entries(UNREADABLE).flatMap(([name, text]) => ["--set", `${name}=${text}`]);
    const { stdout } = await host.run(["install", ...words, "-o", "json"]);
    const { problems } = JSON.parse(stdout) as { problems: { message: string }[] };
    expect(problems.map(({ message }) => message).sort()).toEqual(told.map(({ detail }) => detail).sort());
  });

  it("is none where both read it, whatever the text is", async () => {
    const readable = {
      SIGNAL_EXCLUDE: "quit, 3",
      KEEP_FREE: "4Gi",
      RATE_LIMIT: "5/h",
      WATCH_LEASE: "0",
      TIMEOUT: "2m",
    };
    using host = makeHost();
    const words = Object.entries(readable).flatMap(([name, text]) => ["--set", `${name}=${text}`]);
    expect((await host.run(["install", "--dry-run", ...words])).exitCode).toBe(0);
    await using rig = makeRig();
    rig.env(readable);
    await rig.run(smallCore(Buffer.from("memory")));
    expect((await rig.bundle()).manifest.problems.filter(({ step }) => step === "settings")).toEqual([]);
  });
});
