import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { reportOf, type Report } from "@cdh/core/report/report";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { pageRoutes } from "../../packages/cdh-api/src/page/routes.ts";
import { bundlePage } from "../../scripts/build/page.ts";

/** Noon of the day on which the examples crashed. */
export const NOW = Date.UTC(2026, 10, 21, 12);

const PREFIX = "/apis/core-dump-handler.dev/v1alpha1/";
const WORKLOADS = ["checkout", "cart", "search", "mailer", "billing"];
const NAMESPACES = ["shop", "payments", "core-dump-handler-host"];
const SIGNALS = ["SIGSEGV", "SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE"];

/** An object as the API lists it. */
export function makeCrash(index: number, overrides: Record<string, unknown> = {}): Record<string, unknown> {
  const workload = WORKLOADS[index % WORKLOADS.length] ?? "";
  const namespace = NAMESPACES[index % 7 === 6 ? 2 : index % 2] ?? "";
  // More by day than by night, and one bad hour.
  const ago = (index * index * 7919) % (6 * 86_400_000);
  const crashedAt = new Date(NOW - (index % 9 === 0 ? 5 * 3_600_000 + ((index * 613) % 3_000_000) : ago)).toISOString();
  const pod =
    namespace === "core-dump-handler-host" ? undefined : `${workload}-7d9f${(index % 97).toString(16)}-x${index % 13}`;
  return {
    apiVersion: "core-dump-handler.dev/v1alpha1",
    kind: "CoreDump",
    metadata: { name: `c${String(index).padStart(6, "0")}`, namespace, creationTimestamp: crashedAt, labels: {} },
    spec: {
      crashedAt,
      process: { pid: 4000 + index, comm: workload, exe: `/usr/bin/${workload}` },
      signal: { number: 11, name: SIGNALS[index % SIGNALS.length] },
      ...(pod === undefined ? {} : { pod: { name: pod, namespace, owner: { kind: "ReplicaSet", name: workload } } }),
      ...(pod === undefined ? {} : { container: { name: "app" } }),
      node: { nodeName: `worker-${index % 5}` },
      core: { compression: "zstd", ...(index % 11 === 3 ? { truncatedBy: "rlimit" } : {}) },
    },
    status: {
      bundle: { name: `c${index}.zip`, sizeBytes: 200_000 + index * 1000 },
      core: { sizeBytes: 3_000_000 + index * 12_345 },
      complete: index % 11 !== 3,
      problemCount: index % 4 === 0 ? 1 : 0,
      ...(index % 3 === 2 ? {} : { where: `pay_${workload}() at pay.c:${40 + (index % 9)} ← handle() ← main()` }),
    },
    ...overrides,
  };
}

/** A group as the API lists it. */
export function makeBug(
  index: number,
  overrides: { status?: object; metadata?: object } = {},
): Record<string, unknown> {
  const workload = WORKLOADS[index % WORKLOADS.length] ?? "";
  const namespace = NAMESPACES[index % 2] ?? "";
  const at = (daysAgo: number): string => new Date(NOW - daysAgo * 86_400_000).toISOString();
  const seen = (name: string, count: number): object => ({ name, count, firstSeen: at(20), lastSeen: at(index / 10) });
  const phase = ["open", "open", "regressed", "new", "muted", "resolved"][index % 6] ?? "open";
  return {
    apiVersion: "core-dump-handler.dev/v1alpha1",
    kind: "CrashGroup",
    metadata: {
      name: `bug-${index.toString(16).padStart(10, "0")}`,
      namespace,
      labels: { "core-dump-handler.dev/phase": phase },
      ...overrides.metadata,
    },
    spec: { key: "signature", signature: `pay_${index} | <b>main</b> @ ${workload}` },
    status: {
      phase,
      summary: `SIGSEGV (null pointer) in pay_${index}() ← main()`,
      count: 3 + index,
      wholeCores: 2,
      firstSeen: at(20),
      lastSeen: at(index / 10),
      signals: [seen("SIGSEGV", 3 + index)],
      executables: [seen(`/usr/bin/${workload}`, 3 + index)],
      workloads: [seen(workload, 3 + index)],
      images: [seen(`registry.example/${workload}:1.8`, 2), seen(`registry.example/${workload}:1.9`, 1 + index)],
      nodes: [seen("worker-1", 2), seen("worker-4", 1 + index)],
      days: [
        { date: "2026-11-02", count: 2 },
        { date: "2026-11-20", count: 1 + index },
      ],
      newest: "c000003",
      newestWhole: "c000003",
      ...overrides.status,
    },
  };
}

/** A report with everything in it. */
export function makeReport(): Report {
  const modules = ["checkout", "libc.so.6", "libstdc++.so.6", "libssl.so.3", "ld-linux-x86-64.so.2"].map(
    (name, index) => ({
      path: index === 0 ? `/usr/bin/${name}` : `/usr/lib/x86_64-linux-gnu/${name}`,
      start: `0x7f00${index}0000000`,
      end: `0x7f00${index}0200000`,
      buildId: `${index}e3a7c94252784df6156fb49d8d477eac4e7067`,
    }),
  );
  const manifest = makeManifest(makeTinyCore(), 900_000, {
    crashedAt: new Date(NOW - 3_700_000).toISOString(),
    process: {
      pid: 48_213,
      pidInNamespace: 1,
      uid: 1000,
      comm: "checkout",
      exe: "/usr/bin/checkout",
      cmdline: ["/usr/bin/checkout", "--listen", ":8080", "--config", "/etc/checkout.yaml"],
      startedAt: new Date(NOW - 90_000_000).toISOString(),
    },
    signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: "0x18" },
    pod: { name: "checkout-7d9f4-x2", namespace: "shop", owner: { kind: "ReplicaSet", name: "checkout" } },
    identity: { source: "oci-config", verified: true },
    modules,
    threads: Array.from({ length: 140 }, (_, index) => ({
      tid: 48_213 + index,
      ...(index === 3 ? { crashed: true } : {}),
      registers: {
        rip: `0x7f00${index === 3 ? 0 : 1}0${(0x1f000 + index * 16).toString(16).padStart(6, "0")}`,
        rsp: "0x7ffc12345678",
        rax: "0x0",
        rdi: "0x18",
        rsi: "0x7f0010000040",
      },
      stack: {
        frames:
          index === 3
            ? [
                { pc: "0x7f000001f030", function: "Checkout::total(Cart const&)", file: "/src/cart.cc", line: 118 },
                { pc: "0x7f000001f130", function: "<script>alert(1)</script>" },
                { pc: "0x7f000001f230", function: "main" },
              ]
            : [
                { pc: "0x7f001009e12c", function: "epoll_wait" },
                { pc: "0x7f000001e000", function: "loop" },
              ],
        end: { kind: "outermost" },
      },
    })),
    problems: [{ step: "crictl", code: "CDH_CRICTL_TIMEOUT", detail: "no answer within 5 s" }],
  });
  manifest.core.sizeBytes = 412_000_000;
  return reportOf(manifest, {
    bundle: manifest.bundle,
    bundleBytes: 18_400_000,
    logs: [
      {
        entry: "x-0.log",
        container: "app",
        sizeBytes: 300,
        lines: [
          "2026-11-21T10:57:58Z INFO  order 88123 accepted",
          "2026-11-21T10:58:19Z WARN  cart service answers slowly (1.9 s)",
          "2026-11-21T10:58:20Z ERROR <script>alert(document.domain)</script> \u001b[31mred\u001b[0m",
          "\tat Checkout::total (cart.cc:118)",
        ],
      },
    ],
    entries: [],
  });
}

/** How the stand-in behaves; a test may change it at any time. */
export interface Behaviour {
  crashes: Record<string, unknown>[];
  bugs?: Record<string, unknown>[];
  /** Refuse to change groups. */
  noPatches?: boolean;
  report: Report;
  /** Accepted bearer tokens; undefined lets everybody in. */
  tokens?: string[];
  /** Refuse to list all namespaces. */
  onlyNamespaces?: boolean;
  /** Answer every request to the API with this. */
  fail?: { status: number; message: string };
  /** Answer no request to the API before this. */
  until?: Promise<void>;
  warning?: string;
  /** Refuse links. */
  noLinks?: boolean;
}

/** What the page needs of cdh-api, with the page itself: for tests of the page alone. */
export async function startStandIn(behaviour: Behaviour): Promise<{ url: string; asked: string[]; close(): void }> {
  const files = pageRoutes(await bundlePage());
  const asked: string[] = [];
  let selected: { key: string; of: unknown; wanted: Record<string, unknown>[] } | undefined;
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? "/", "http://stand-in");
    asked.push(`${request.method} ${url.pathname}${url.search}`);
    const file = files.find(({ path }) => path === url.pathname);
    if (file !== undefined) {
      response.writeHead(200, { "content-type": file.contentType, ...file.headers }).end(file.body);
      return;
    }
    const json = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    };
    const refuse = (status: number, message: string): void => json(status, { kind: "Status", code: status, message });
    if (!url.pathname.startsWith(PREFIX)) return refuse(404, "no such path");
    const ticket = url.searchParams.has("ticket");
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? "")?.[1];
    if (behaviour.tokens !== undefined && !ticket && !behaviour.tokens.includes(token ?? ""))
      return refuse(401, "Unauthorized");
    if (behaviour.fail !== undefined) return refuse(behaviour.fail.status, behaviour.fail.message);
    const [, place, id] =
      /^(?:namespaces\/([^/]+)\/)?crashgroups(?:\/([^/]+))?$/.exec(url.pathname.slice(PREFIX.length)) ?? [];
    if (url.pathname.includes("/crashgroups"))
      return answerBugs({ request, url, place, id }, behaviour, { json, refuse });
    const [, namespace, name, part] =
      /^(?:namespaces\/([^/]+)\/)?coredumps(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname.slice(PREFIX.length)) ?? [];
    const visible = behaviour.crashes.filter(
      (crash) => namespace === undefined || (crash["metadata"] as { namespace: string }).namespace === namespace,
    );
    if (name === undefined) {
      if (behaviour.onlyNamespaces === true && (namespace === undefined || visible.length === 0))
        return refuse(403, `coredumps is forbidden: you cannot list it in ${namespace ?? "all namespaces"}`);
      const asksFor = new URLSearchParams(url.searchParams);
      for (const other of ["limit", "continue"]) asksFor.delete(other);
      const key = `${namespace} ${asksFor.toString()}`;
      // A list of a hundred thousand is put in order once for all its pages.
      if (selected?.key !== key || selected.of !== behaviour.crashes)
        selected = { key, of: behaviour.crashes, wanted: select(visible, url.searchParams) };
      const { wanted } = selected;
      const start = Number(url.searchParams.get("continue") ?? 0);
      const end = start + Number(url.searchParams.get("limit") ?? wanted.length);
      // As the server: how many are left is not said where a selector chose.
      const left = url.searchParams.has("labelSelector") ? {} : { remainingItemCount: wanted.length - end };
      const metadata = end < wanted.length ? { continue: String(end), ...(start === 0 ? left : {}) } : {};
      const warning = behaviour.warning === undefined ? {} : { warning: `299 - "${behaviour.warning}"` };
      return json(200, { kind: "CoreDumpList", metadata, items: wanted.slice(start, end) }, warning);
    }
    if (!visible.some((crash) => (crash["metadata"] as { name: string }).name === name))
      return refuse(404, `coredumps "${name}" not found`);
    if (part === "report") return json(200, behaviour.report);
    if (part === "link") {
      if (behaviour.noLinks === true) return refuse(403, "links are forbidden");
      return json(201, { url: `${url.pathname.replace("/link", "/bundle")}?ticket=t`, expiresAt: "" });
    }
    response
      .writeHead(200, { "content-type": "application/zip", "content-disposition": 'attachment; filename="bundle.zip"' })
      .end("PK-the-bundle");
  };
  const server = createServer((request, response) => {
    const held = request.url?.startsWith(PREFIX) === true ? behaviour.until : undefined;
    void Promise.resolve(held).then(() => answer(request, response));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface MetadataOf {
  name: string;
  namespace: string;
  labels: Record<string, string>;
  annotations?: Record<string, unknown>;
}

/** Lists, reads and patches of groups. */
function answerBugs(
  {
    request,
    url,
    place,
    id,
  }: { request: IncomingMessage; url: URL; place: string | undefined; id: string | undefined },
  behaviour: Behaviour,
  say: { json: (status: number, body: unknown) => void; refuse: (status: number, message: string) => void },
): void {
  const metadataOf = (bug: Record<string, unknown>): MetadataOf => bug["metadata"] as MetadataOf;
  const visible = (behaviour.bugs ?? []).filter((bug) => place === undefined || metadataOf(bug).namespace === place);
  if (id === undefined) {
    if (behaviour.onlyNamespaces === true && (place === undefined || visible.length === 0))
      return say.refuse(403, `crashgroups is forbidden: you cannot list it in ${place ?? "all namespaces"}`);
    const start = Number(url.searchParams.get("continue") ?? 0);
    const end = start + Number(url.searchParams.get("limit") ?? visible.length);
    const metadata = end < visible.length ? { continue: String(end), remainingItemCount: visible.length - end } : {};
    return say.json(200, { kind: "CrashGroupList", metadata, items: visible.slice(start, end) });
  }
  const bug = visible.find((one) => metadataOf(one).name === id);
  if (bug === undefined) return say.refuse(404, `crashgroups "${id}" not found`);
  if (request.method !== "PATCH") return say.json(200, bug);
  if (behaviour.noPatches === true) return say.refuse(403, 'you cannot patch resource "crashgroups"');
  let text = "";
  request.on("data", (chunk: Buffer) => (text += chunk.toString()));
  request.on("end", () => {
    const { labels, annotations } = (JSON.parse(text) as { metadata: MetadataOf }).metadata;
    const state = labels["core-dump-handler.dev/state"];
    Object.assign(metadataOf(bug), {
      annotations: { ...annotations, "core-dump-handler.dev/state-by": "ann" },
    });
    (bug["status"] as { phase?: string }).phase = state ?? "open";
    say.json(200, bug);
  });
}

/** Choose and order as cdh-api does for the page. */
function select(crashes: readonly Record<string, unknown>[], query: URLSearchParams): Record<string, unknown>[] {
  const specOf = (crash: Record<string, unknown>): CrashSpec => crash["spec"] as CrashSpec;
  const wanted = new Map(
    (query.get("labelSelector") ?? "")
      .split(",")
      .map((one) => one.replace("core-dump-handler.dev/", "").split("=") as [string, string]),
  );
  const [signal, workload, since] = [wanted.get("signal"), wanted.get("workload"), query.get("since") ?? ""];
  const labelsOf = (crash: Record<string, unknown>): Record<string, string> =>
    (crash["metadata"] as { labels?: Record<string, string> }).labels ?? {};
  const group = wanted.get("group");
  return crashes
    .filter((crash) => {
      const spec = specOf(crash);
      return (
        (signal === undefined || spec.signal.name === signal) &&
        (workload === undefined || spec.pod?.owner?.name === workload) &&
        (group === undefined || labelsOf(crash)["core-dump-handler.dev/group"] === group) &&
        spec.crashedAt >= since
      );
    })
    .toSorted((one, other) => (specOf(one).crashedAt < specOf(other).crashedAt ? 1 : -1));
}

interface CrashSpec {
  crashedAt: string;
  signal: { name: string };
  pod?: { owner?: { name: string } };
}
