import { existsSync, mkdtempSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { openBundleFile, sha256OfFile } from "../helpers/bundle-files.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { listKeys, s3Request } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** CDH_SOAK=10000 is what a release takes by hand; it needs an hour. */
const CRASHES = Number(process.env["CDH_SOAK"] ?? 300);
/** So many processes crash at a time: this is no storm. */
const AT_ONCE = 3;
const MIB = 1024 * 1024;
/** One of them crashes no sooner again: crashes have to come before the outage, in it and after it. */
const PACE_MS = Number(process.env["CDH_SOAK_PACE_MS"] ?? 650);
const KILL_EVERY_MS = 20_000;
const OUTAGE_AFTER_MS = 8_000;
const OUTAGE_MS = 45_000;
/** How long the last bundles may take to arrive. */
const ARRIVAL_MS = 240_000;
const LIMIT_MS = CRASHES <= 300 ? 600_000 : 600_000 + CRASHES * 1_500;

const reason =
  kernelSuiteUnavailable() ?? notBuilt("cdh-sysctl") ?? notBuilt("cdh-upload") ?? chooseS3("minio").standIn;

describeUnless(
  reason,
  `${CRASHES} crashes, a store that goes down, an uploader that is killed, a node that restarts`,
  () => {
    const suite = setUpKernel();
    let s3: S3Server;
    let node: NodePrograms;
    beforeAll(async () => {
      s3 = await startS3Server({ kind: "minio" });
      node = new NodePrograms(suite.composer.hostDir, suite.composer.coreDir, s3.env);
    }, 60_000);
    afterAll(async () => {
      await node.kill();
      await s3[Symbol.asyncDispose]();
    });

    /** What a power cut does: nothing runs any more, and the kernel begins with the values of its boot. */
    async function restartNode(): Promise<void> {
      await node.kill();
      for (const pid of suite.composer.running()) process.kill(pid, "SIGKILL");
      suite.hold.set({ corePattern: "core", corePipeLimit: "0" });
      await delay(1_000);
      await node.start();
    }

    it("are one whole object each", { timeout: LIMIT_MS }, async () => {
      const { segv, abrt, fill } = compileCrashPrograms();
      const started = performance.now();
      const pids: number[] = [];
      const end = new AbortController();
      await node.start();
      const killing = everySoOften(KILL_EVERY_MS, end.signal, () => node.restartUploader());
      const outage = delay(OUTAGE_AFTER_MS)
        .then(() => s3.stop("KILL"))
        .then(() => delay(OUTAGE_MS))
        .then(() => s3.start());

      let next = 0;
      const crashUntil = (count: number): Promise<unknown> =>
        Promise.all(
          Array.from({ length: AT_ONCE }, async () => {
            while (next < count) {
              const index = next++;
              const [program, args] =
                index % 10 === 0 ? [fill, ["12", "mixed"]] : index % 2 === 0 ? [segv, []] : ([abrt, []] as const);
              const [crash] = await Promise.all([runCrash(program, args), delay(PACE_MS)]);
              expect(crash.coreDumped, `crash ${index}`).toBe(true);
              pids.push(crash.pid);
            }
          }),
        );
      await crashUntil(Math.ceil(CRASHES * 0.6));

      // The node goes down while a core is on its way: what has been written of it is a bundle all the same.
      await expect.poll(() => suite.composer.running(), { timeout: 30_000 }).toEqual([]);
      const cut = runCrash(fill, ["600", "random"]);
      const written = (): number => {
        const name = suite.composer.spoolNames().find((file) => file.endsWith(".partial"));
        return statSync(join(suite.composer.coreDir, name ?? ""), { throwIfNoEntry: false })?.size ?? 0;
      };
      await expect.poll(() => written() / MIB, { timeout: 60_000, interval: 20 }).toBeGreaterThan(16);
      await restartNode();
      const victim = (await cut).pid;

      await crashUntil(CRASHES);
      const crashedMs = performance.now() - started;
      await outage;
      end.abort();
      await killing;
      const waiting = (): string[] =>
        suite.composer.spoolNames().filter((name) => /\.(?:zip|partial|salvage)$/.test(name));
      await expect.poll(waiting, { timeout: ARRIVAL_MS, interval: 500 }).toEqual([]);
      await expectOneObjectEach(s3, [...pids, victim], victim, suite.scratch);
      expect(node.died).toEqual([]);
      expect(namesIn(join(suite.composer.coreDir, "quarantine"))).toEqual([]);
      const seconds = [crashedMs, performance.now() - started].map((ms) => (ms / 1000).toFixed(0));
      process.stderr.write(
        `soak: ${pids.length} crashes in ${seconds[0]} s, all stored after ${seconds[1]} s; the uploader was killed ${node.kills} times\n`,
      );
      // Otherwise nothing was tried.
      expect(node.kills).toBeGreaterThanOrEqual(2);
    });
  },
);

/** Compare what lies in the store with what crashed: a bundle and a manifest for each, of one name, and no more. */
async function expectOneObjectEach(
  s3: S3Server,
  pids: readonly number[],
  cutPid: number,
  scratch: string,
): Promise<void> {
  const keys = [...(await listKeys(s3, s3.bucket)).keys()];
  const stems = (suffix: string): string[] =>
    keys
      .filter((key) => key.endsWith(suffix) && pidOf(key.slice(0, -suffix.length)) !== undefined)
      .map((key) => key.slice(0, -suffix.length));
  expect(stems(".manifest.json").toSorted()).toEqual(stems(".zip").toSorted());
  // A pid may come again in a long run, so each counts as often as it crashed.
  const stored = stems(".zip").map(pidOf);
  const difference = differenceOf(pids, stored);
  const strange = stems(".zip").filter((stem) => difference.unexpected.includes(pidOf(stem)));
  expect(difference, `the one that was cut is ${cutPid}; ${strange.join(" ")}`).toEqual({
    missing: [],
    unexpected: [],
  });
  const manifests: [string, Manifest][] = [];
  for (const stem of stems(".manifest.json")) {
    const answer = await s3Request(s3, "GET", `/${s3.bucket}/${stem}.manifest.json`);
    manifests.push([stem, (await answer.json()) as Manifest]);
  }
  expect(new Set(manifests.map(([, { crashId }]) => crashId)).size).toBe(pids.length);
  const cut = manifests.filter(([, { core }]) => !core.complete);
  const why = JSON.stringify(Object.groupBy(cut, ([, { core }]) => core.truncatedBy ?? "unknown"));
  expect(
    cut.map(([stem]) => pidOf(stem)),
    why.slice(0, 2000),
  ).toEqual([cutPid]);
  expect(cut[0]?.[1]).toMatchObject({ core: { truncatedBy: "shortRead" } });
  expect(cut[0]?.[1].problems).toContainEqual(expect.objectContaining({ code: "CDH_SALVAGED" }));
  expect(cut[0]?.[1].core.sizeBytes).toBeGreaterThan(10 * MIB);
  // All of them by hand; in every run as many as that takes seconds of, and the one that was cut.
  const isLooked = (stem: string, index: number): boolean => index % 5 === 0 || pidOf(stem) === cutPid || CRASHES > 300;
  const looked = stems(".zip").filter(isLooked);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, lane) => {
      const place = mkdtempSync(join(scratch, "looked-"));
      for (let index = lane; index < looked.length; index += AT_ONCE) await expectWhole(s3, looked[index] ?? "", place);
    }),
  );
}

/** The pid in a bundle's name; undefined for crashes that are not ours, which this machine may have meanwhile. */
function pidOf(stem: string): number | undefined {
  const pid = /-(?:segv|abrt|fill)-(\d+)-\d+$/.exec(stem)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Tell which of the first are not among the second, and the other way round; each as often as it is there. */
function differenceOf(
  wanted: readonly number[],
  found: readonly (number | undefined)[],
): { missing: number[]; unexpected: (number | undefined)[] } {
  const unexpected = [...found];
  const missing = wanted.filter((pid) => {
    const at = unexpected.indexOf(pid);
    if (at !== -1) unexpected.splice(at, 1);
    return at === -1;
  });
  return { missing, unexpected };
}

/** Every byte of a bundle is as it was hashed, and unpacks to the core whose hash its manifest has. */
async function expectWhole(s3: S3Server, stem: string, scratch: string): Promise<void> {
  const answer = await s3Request(s3, "GET", `/${s3.bucket}/${stem}.zip`);
  const path = join(scratch, "bundle.zip");
  writeFileSync(path, Buffer.from(await answer.arrayBuffer()));
  expect(await sha256OfFile(path), stem).toBe(answer.headers.get("x-amz-meta-cdh-sha256"));
  const bundle = await openBundleFile(path);
  const { core } = bundle.manifest;
  expect((await bundle.unpackCore(scratch)).sha256, stem).toBe(core.sha256);
}

/** What the DaemonSet's pod runs on a node. */
class NodePrograms {
  readonly #hostDir: string;
  readonly #coreDir: string;
  readonly #store: Record<string, string>;
  #watch: TiedChild | undefined;
  #uploader: TiedChild | undefined;
  kills = 0;
  /** What programs said that ended by themselves. */
  readonly died: string[] = [];

  constructor(hostDir: string, coreDir: string, store: Record<string, string>) {
    this.#hostDir = hostDir;
    this.#coreDir = coreDir;
    this.#store = store;
  }

  /** Start both, and wait until the kernel hands crashes over. */
  async start(): Promise<void> {
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOST_DIR: this.#hostDir,
      COMP_RATE_LIMIT: "0",
      COMP_KEEP_PER_SITE: "0",
      // The store lies on the same disk, and ten thousand cores are gigabytes.
      COMP_KEEP_FREE: "2%",
      COMP_IGNORE_CRIO: "true",
      PROVE_CAPTURE: "true",
      SELF_TEST_INTERVAL: "10s",
      // vitest has a MODE of its own.
      MODE: "",
    };
    const watch = startTied(builtPath("cdh-sysctl"), ["watch"], { env });
    this.#watch = watch;
    void watch.ended.then(() => this.#watch === watch && this.died.push(watch.output()));
    this.#startUploader();
    const deadline = performance.now() + 60_000;
    while (!readKernelSettings().corePattern.startsWith(`|${this.#hostDir}/cdc `)) {
      if (performance.now() > deadline) throw new Error(`the kernel hands no crash over: ${watch.output()}`);
      await delay(50);
    }
  }

  async restartUploader(): Promise<void> {
    if (this.#uploader === undefined) return;
    this.kills += 1;
    const killed = this.#uploader;
    this.#uploader = undefined;
    await killed.stop("KILL");
    // The node may have gone down meanwhile.
    if (this.#watch !== undefined) this.#startUploader();
  }

  async kill(): Promise<void> {
    const programs = [this.#watch, this.#uploader];
    this.#watch = this.#uploader = undefined;
    await Promise.all(programs.map((program) => program?.stop("KILL")));
  }

  #startUploader(): void {
    const env = { PATH: "/usr/bin:/bin", LOG_FORMAT: "json", ...this.#store, CORE_DIR: this.#coreDir, INTERVAL: "5s" };
    const uploader = startTied(builtPath("cdh-upload"), ["run"], { env });
    this.#uploader = uploader;
    void uploader.ended.then(() => this.#uploader === uploader && this.died.push(uploader.output()));
  }
}

async function everySoOften(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await delay(ms, undefined, { signal }).catch(() => undefined);
    if (!signal.aborted) await work();
  }
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
