/**
 * `npm run bench -- api`: cdh-api over a store of 100,000 bundles: how long it takes to read it, what it holds in memory,
 * and how fast it lists.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeManifest, makeTinyCore } from "../../packages/core/src/testing/sample-bundle.ts";
import { AUDIENCE, BASE, expectSoon, startWorkbench } from "../api/workbench.ts";
import { notBuilt } from "../helpers/built.ts";
import { cpuMs, programOf, residentBytes } from "../helpers/resident.ts";
import { missingTools } from "../helpers/tools.ts";
import { DOCS_FILE, writeSection } from "./docs.ts";
import { markdownOf, median, tableOf } from "./report.ts";

const MIB = 1024 * 1024;
const TARGET_MS = 200;
const TARGET_BYTES = 256 * MIB;
const RUNS = 15;
/** Bugs that the crashes are of, all namespaces together. */
const BUGS = 5000;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Write manifests as the uploader leaves them, with a handful of threads and modules each, and a stub for the bundle. */
function fill(directory: string, count: number, namespaces: number): void {
  const core = makeTinyCore(64);
  for (let index = 0; index < count; index += 1) {
    const namespace = `team-${String(index % namespaces).padStart(3, "0")}`;
    if (index < namespaces) mkdirSync(join(directory, namespace), { recursive: true });
    const hex = index.toString(16).padStart(12, "0");
    const crashId = `5d2f0c1e-8a4b-4c6d-9e7f-${hex}`;
    const stem = `${crashId}-dump-${1_795_249_571 + index}-web-${index % 400}-server-1-11`;
    const manifest = makeManifest(core, 40, {
      crashId,
      bundle: `${stem}.zip`,
      crashedAt: new Date(1_795_249_571_000 + index * 1000).toISOString(),
      process: { pid: 1000 + index, comm: "server", exe: `/usr/bin/server-${index % 50}`, uid: 1000 },
      node: { nodeName: `worker-${index % 200}`, architecture: "x64" },
      signal: { number: 11, name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: `0x${hex}` },
      pod: {
        name: `web-${index % 400}-${hex.slice(-5)}`,
        namespace,
        uid: `11111111-2222-3333-4444-${hex}`,
        owner: { kind: "Deployment", name: `web-${index % 400}` },
      },
      identity: { source: "oci-config", verified: true },
      site: (index % BUGS).toString(16).padStart(16, "0"),
      signature: `function_${index % BUGS} | handle_request @ server-${index % 50}`,
      threads: Array.from({ length: 6 }, (_, thread) => ({
        tid: thread + 1,
        registers: { pc: `0x7f${hex}`, sp: "0x7ffc" },
      })),
      modules: Array.from({ length: 12 }, (_, module) => ({
        path: `/usr/lib/x86_64-linux-gnu/libsomething-${module}.so.1`,
        start: `0x7f${hex}`,
        end: `0x8f${hex}`,
        buildId: "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
      })),
    });
    writeFileSync(join(directory, namespace, `${stem}.manifest.json`), JSON.stringify(manifest));
    writeFileSync(join(directory, namespace, `${stem}.zip`), "PK");
  }
}

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    namespaces: { type: "string", default: "100" },
    docs: { type: "boolean", default: false },
  },
});
const [count, namespaces] = [Number(values.count), Number(values.namespaces)];
const reason = notBuilt("cdh-api") ?? missingTools("openssl");
if (reason !== undefined) {
  say(`bench: cannot measure here: ${reason}`);
  process.exit(11);
}

const directory = mkdtempSync(join(tmpdir(), "cdh-bench-api-"));
try {
  await using bench = await startWorkbench(directory, {
    env: { RIGHTS_CACHE: "60s" },
    waits: false,
    prepare: async () => {
      say(`writing ${count} manifests in ${namespaces} namespaces`);
      fill(join(directory, "store"), count, namespaces);
    },
  });
  bench.cluster.tokens.set("admin", { user: "admin", audiences: [AUDIENCE] });
  bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  const began = performance.now();
  const ready = async (): Promise<boolean> => (await bench.ask("/readyz").catch(() => undefined))?.status === 200;
  await expectSoon("it is ready", ready, 900_000);
  const loadSeconds = (performance.now() - began) / 1000;
  const pid = programOf(bench.server, "cdh-api.mjs");
  const loadCpu = cpuMs(pid) / 1000;
  const loaded = residentBytes(pid, "VmRSS");
  const peakAtLoad = residentBytes(pid, "VmHWM");

  const table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const rows: { name: string; ms: number[]; cpu: number; bytes: number }[] = [];
  const measure = async (
    name: string,
    path: string,
    accept = "application/json",
    runs = RUNS,
    more = {},
  ): Promise<void> => {
    const ms: number[] = [];
    let [bytes, cpu] = [0, 0];
    for (let run = -2; run < runs; run += 1) {
      if (run === 0) cpu = cpuMs(pid);
      const start = performance.now();
      const answer = await bench.ask(path, { token: "admin", headers: { accept, ...more } });
      if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
      bytes = answer.body.length;
      if (run >= 0) ms.push(performance.now() - start);
    }
    rows.push({ name, ms, cpu: (cpuMs(pid) - cpu) / runs, bytes });
  };
  const one = `${BASE}/namespaces/team-000/coredumps`;
  await measure(`one namespace of ${Math.round(count / namespaces)}, objects`, one);
  await measure("the same as the table that kubectl prints", one, table);
  await measure("the same, first 500", `${one}?limit=500`, table);
  await measure("all namespaces, first 500", `${BASE}/coredumps?limit=500`, table);
  await measure(
    "all namespaces, by label",
    `${BASE}/coredumps?labelSelector=core-dump-handler.dev/node%3Dworker-7`,
    table,
  );
  const groups = `${BASE}/namespaces/team-000/crashgroups`;
  await measure("groups of one namespace, objects", groups);
  await measure("the same as the table that kubectl prints", groups, table);
  await measure("groups of all namespaces, first 500", `${BASE}/crashgroups?limit=500`, table);
  await measure("all of everything, objects", `${BASE}/coredumps`, "application/json", 3);
  const gzip = { "accept-encoding": "gzip" };
  await measure("the same, compressed", `${BASE}/coredumps`, "application/json", 3, gzip);
  const everything = (): Promise<unknown> => bench.ask(`${BASE}/coredumps`, { token: "admin", headers: gzip });
  await Promise.all([everything(), everything()]);
  const after = residentBytes(pid, "VmRSS");
  const peak = residentBytes(pid, "VmHWM");

  const columns = ["listing", "median ms", "slowest ms", "CPU ms", "answer KiB"];
  const cells = rows.map(({ name, ms, cpu, bytes }) => [
    name,
    median(ms).toFixed(0),
    Math.max(...ms).toFixed(0),
    cpu.toFixed(0),
    String(Math.round(bytes / 1024)),
  ]);
  const first = median(rows[0]?.ms ?? []);
  const ofGroups = rows.find(({ name }) => name.startsWith("groups of one"))?.ms ?? [];
  const slowest = Math.max(...ofGroups);
  const lines = [
    `${count} bundles in ${namespaces} namespaces, a directory store (${cpus().length} cores, Linux ${release()}), TLS and a connection of its own for each request; other work kept the machine at a load of ${loadavg()[0]?.toFixed(0)}.`,
    `- Ready after ${loadSeconds.toFixed(0)} s, ${loadCpu.toFixed(0)} s of them CPU: every manifest read once.`,
    `- Resident: ${Math.round(loaded / MIB)} MiB once loaded (peak ${Math.round(peakAtLoad / MIB)} MiB), ${Math.round(after / MIB)} MiB after all listings, two of everything at once among them, peak ${Math.round(peak / MIB)} MiB. Target: at most 256 MiB: ${peak <= TARGET_BYTES ? "met" : "missed"}.`,
    `- One namespace, warm: ${first.toFixed(0)} ms (${rows[0]?.cpu.toFixed(0)} ms of CPU). Target: below ${TARGET_MS} ms: ${first < TARGET_MS ? "met" : "missed"}.`,
    `- Groups of one namespace, of ${BUGS} in all: ${median(ofGroups).toFixed(0)} ms, the slowest ${slowest.toFixed(0)} ms. Target: below ${TARGET_MS} ms: ${slowest < TARGET_MS ? "met" : "missed"}.`,
  ];
  process.stdout.write(`${lines.join("\n")}\n\n${tableOf([columns, ...cells])}\n`);
  if (values.docs) {
    writeSection(
      "bench-api",
      `## cdh-api over 100,000 bundles\n\n${lines[0]}\n\n${lines.slice(1).join("\n")}\n\n${markdownOf([columns, ...cells])}`,
      DOCS_FILE,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
