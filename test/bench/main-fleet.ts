/**
 * `npm run bench -- fleet`: cdh-api over a million dumps in MinIO: how long a replica takes until it answers, from the index in
 * the store, and what it holds in memory until it has listed the store.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "@cdh/core/clock";
import { resolveSettings } from "@cdh/core/config";
import { silentLogger } from "@cdh/core/log";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { ChangeLog } from "../../packages/cdh-api/src/index/change-log.ts";
import { DumpIndex } from "../../packages/cdh-api/src/index/dump-index.ts";
import { SegmentFolder } from "../../packages/cdh-api/src/segments/folder.ts";
import { SegmentWriter } from "../../packages/cdh-api/src/segments/writer.ts";
import { AUDIENCE, BASE, expectSoon, startWorkbench } from "../api/workbench.ts";
import { notBuilt } from "../helpers/built.ts";
import { cpuMs, programOf, residentBytes } from "../helpers/resident.ts";
import { startS3Server } from "../helpers/s3-server.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { DOCS_FILE, writeSection } from "./docs.ts";
import { fillDisk, fillIndex, type Fleet } from "./fleet.ts";
import { markdownOf, median, tableOf } from "./report.ts";

const MIB = 1024 * 1024;
const RUNS = 5;
const LIST_WAIT_MS = 1_800_000;
const RULES = { hostNamespace: "core-dump-handler-host", trustUnverified: false };

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    groups: { type: "string", default: "5000" },
    namespaces: { type: "string", default: "100" },
    docs: { type: "boolean", default: false },
  },
});
const fleet: Fleet = {
  dumps: Number(values.count),
  groups: Number(values.groups),
  namespaces: Number(values.namespaces),
  nodes: 200,
};
const reason = notBuilt("cdh-api") ?? missingTools("openssl") ?? findTool("minio").reason;
if (reason !== undefined) {
  say(`bench: cannot measure here: ${reason}`);
  process.exit(11);
}

const directory = mkdtempSync(join(tmpdir(), "cdh-bench-fleet-"));
try {
  await using s3 = await startS3Server({ parent: directory });
  const store = await openStore(resolveSettings(storeSettings, { env: s3.env, flags: {} }).values, {
    clock: systemClock,
    env: s3.env,
  });
  say(`putting ${fleet.dumps} dumps into MinIO`);
  const shown = await fillDisk(store, join(s3.dataDir, s3.bucket), fleet, say);
  say("writing the index");
  const index = new DumpIndex(new ChangeLog(1));
  fillIndex(index, fleet, shown);
  const folder = new SegmentFolder(store);
  const writing = performance.now();
  const listedAt = Date.now();
  const common = { folder, index, rules: RULES, clock: systemClock, log: silentLogger };
  const writer = new SegmentWriter({ ...common, listedAt: () => listedAt, intervalMs: 1000 });
  const written = await writer.round(AbortSignal.timeout(LIST_WAIT_MS));
  const writeMs = performance.now() - writing;
  let segmentBytes = 0;
  for (const { sizeBytes } of await folder.list(AbortSignal.timeout(60_000))) segmentBytes += sizeBytes;
  await store.close();

  mkdirSync(join(directory, "bench"));
  await using bench = await startWorkbench(join(directory, "bench"), {
    env: { ...s3.env, STORE_URL: `s3://${s3.bucket}`, RIGHTS_CACHE: "60s" },
    waits: false,
  });
  bench.cluster.tokens.set("admin", { user: "admin", audiences: [AUDIENCE] });
  bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  const began = performance.now();
  const ready = async (): Promise<boolean> => (await bench.ask("/readyz").catch(() => undefined))?.status === 200;
  await expectSoon("it is ready", ready, LIST_WAIT_MS);
  const readyMs = performance.now() - began;
  const pid = programOf(bench.server, "cdh-api.mjs");
  const readyCpuMs = cpuMs(pid);
  const atReady = { now: residentBytes(pid, "VmRSS"), peak: residentBytes(pid, "VmHWM") };
  say(`ready after ${seconds(readyMs)} s, peak ${mib(atReady.peak)}`);

  const rows: string[][] = [];
  const measure = async (name: string, path: string): Promise<void> => {
    const ms: number[] = [];
    let bytes = 0;
    for (let run = 0; run < RUNS; run += 1) {
      const start = performance.now();
      const answer = await bench.ask(path, { token: "admin" });
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
      ms.push(performance.now() - start);
      bytes = answer.body.length;
    }
    rows.push([name, median(ms).toFixed(0), Math.max(...ms).toFixed(0), String(Math.round(bytes / 1024))]);
  };
  const namespace = `${BASE}/namespaces/team-007`;
  const ask = async (when: string): Promise<void> => {
    await measure(`${when}: groups of a namespace`, `${namespace}/crashgroups?limit=500`);
    await measure(`${when}: dumps of a namespace, first 500`, `${namespace}/coredumps?limit=500`);
    await measure(`${when}: all namespaces, newest 500`, `${BASE}/coredumps?limit=500&order=newest`);
  };
  await ask("while it lists");
  const isListed = (): Promise<boolean> => Promise.resolve(bench.logged("the store is listed").length > 0);
  await expectSoon("the store is listed", isListed, LIST_WAIT_MS);
  const listed = bench.logged("the store is listed")[0] ?? {};
  const recalled = bench.logged("recalled the index from the store; the listing follows")[0] ?? {};
  say(`listed: ${JSON.stringify(listed)}`);
  await ask("afterwards");
  // The replica that leads looks at all segments once more.
  await expectSoon("it leads", async () => (await bench.metric("cdh_api_index_segments")) > 0, 300_000);
  const peak = residentBytes(pid, "VmHWM");

  const isMet = (met: boolean): string => (met ? "met" : "missed");
  const lines = [
    `${fleet.dumps} dumps of ${fleet.groups} bugs in ${fleet.namespaces} namespaces on ${fleet.nodes} nodes, two objects each in MinIO on loopback (${cpus().length} cores, Linux ${release()}); other work kept the machine at a load of ${loadavg()[0]?.toFixed(0)}.`,
    `- The index in the store: ${written} segments, ${mib(segmentBytes)}, written in ${seconds(writeMs)} s.`,
    `- Ready ${seconds(readyMs)} s after the start, ${seconds(readyCpuMs)} s of processor time (the index was recalled in ${seconds(Number(recalled["durationMs"]))} s). Target: at most 20 s: ${isMet(readyMs <= 20_000)}.`,
    `- Listed in ${seconds(Number(listed["durationMs"]))} s, beside the answers: ${String(listed["objects"])} objects, ${String(listed["read"])} manifests read.`,
    `- Resident: ${mib(atReady.now)} when ready (peak ${mib(atReady.peak)}); peak until it had listed, answered and led: ${mib(peak)}. Target: at most 512 MiB: ${isMet(peak <= 512 * MIB)}.`,
  ];
  const columns = ["request", "median ms", "slowest ms", "answer KiB"];
  process.stdout.write(`${lines.join("\n")}\n\n${tableOf([columns, ...rows])}\n`);
  if (values.docs) {
    const title = `## cdh-api that starts over ${fleet.dumps.toLocaleString("en-US")} dumps`;
    const text = `${title}\n\n${lines[0]}\n\n${lines.slice(1).join("\n")}\n\n${markdownOf([columns, ...rows])}`;
    writeSection(`bench-fleet-${fleet.dumps}`, text, DOCS_FILE);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
