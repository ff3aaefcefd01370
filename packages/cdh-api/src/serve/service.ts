import { randomInt } from "node:crypto";
import { Agent } from "node:https";
import { hostname } from "node:os";
import type { ForgottenFiles } from "@cdh/core/base/forgotten-files";
import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import { showForgottenFiles } from "@cdh/core/forgotten-files-metric";
import { daemonRoutes, startHttpServer, type Health } from "@cdh/core/http-server";
import { findKubernetes } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import { AccessReviewer } from "../auth/access-review.ts";
import { authenticate } from "../auth/authenticate.ts";
import { Cluster } from "../auth/cluster.ts";
import { FrontProxy } from "../auth/front-proxy.ts";
import { Tickets } from "../auth/tickets.ts";
import { TokenReviewer } from "../auth/token-review.ts";
import { declareMetrics } from "../call/api-metrics.ts";
import type { AppContext } from "../call/app-context.ts";
import { FileNames } from "../download/file-names.ts";
import { rememberParts } from "../download/kept-parts.ts";
import { countGroups } from "../groups/group-metrics.ts";
import { makeGroups, type Groups } from "../groups/groups.ts";
import { NewBugEvents } from "../groups/new-bug-events.ts";
import { Connections } from "../http/connections.ts";
import { makeGates } from "../http/gates.ts";
import { RefusalLog } from "../http/refusals.ts";
import { readTlsPair, TlsServer } from "../http/tls-server.ts";
import type { DumpIndex } from "../index/dump-index.ts";
import { DumpStore } from "../index/dump-store.ts";
import { stampOf } from "../index/store-reader.ts";
import type { PageRoute } from "../page/routes.ts";
import { retentionWork, whyNot } from "../retention/service.ts";
import { factsOfRecord, type ManifestFacts } from "../retention/stored-bundle.ts";
import { Segments } from "../segments/service.ts";
import type { ApiSettings } from "../settings.ts";
import { makeApp } from "./app.ts";
import { makeHandlers } from "./handlers.ts";
import { lead } from "./lead.ts";

/** After SIGTERM downloads may go on for so long. */
const GRACE_MS = 20_000;

/** What the service needs. */
export interface ServiceOptions {
  settings: ApiSettings;
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  env: Readonly<Record<string, string | undefined>>;
  files: readonly PageRoute[];
  stopSignal: AbortSignal;
  forgottenFiles?: ForgottenFiles | undefined;
}

/**
 * Serve the store until told to stop.
 * @throws {CdhError} CDH_CONFIG_INVALID, CDH_ENVIRONMENT when it cannot begin
 */
export async function runService(options: ServiceOptions): Promise<void> {
  const { settings, store, clock, log, stopSignal } = options;
  const access = findKubernetes(options.env, options.env["KUBERNETES_SERVICE_ACCOUNT_DIR"]);
  if (access === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "no API server to ask about tokens and rights", {
      hint: "run it in a pod with a service account, or set KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT and KUBERNETES_SERVICE_ACCOUNT_DIR",
    });
  }
  const problem = settings.retention ? whyNot({ settings, access }) : undefined;
  if (problem !== undefined) throw problem;
  const tlsFiles = tlsFilesOf(settings);
  const pair = await readTlsPair(tlsFiles);
  const metrics = createMetrics();
  showForgottenFiles(metrics, options.forgottenFiles);
  const gates = makeGates(settings);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const cluster = new Cluster({ ...access, agent });
  const frontProxy = settings.frontProxy ? new FrontProxy(cluster, clock, log) : undefined;
  const connections = new Connections({
    clock,
    isFrontProxy: (socket) => frontProxy?.isFrontProxy(socket) === true,
    stallTimeoutMs: settings.stallTimeoutMs,
    onClosed: (reason) => counted.connectionClosed(reason),
  });
  const counted = declareMetrics(metrics, {
    dumps: () => dumps,
    gates,
    connections,
    refreshIntervalMs: settings.refreshIntervalMs,
  });
  const rules = { hostNamespace: settings.hostNamespace, trustUnverified: settings.trustUnverified };
  const segments = new Segments({
    store,
    settings,
    rules,
    clock,
    log,
    metrics,
    onPast: (namespace) => groups.index.recount(namespace),
  });
  const groups: Groups = makeGroups({
    past: (namespace) => segments.pastOf(namespace),
    isListed: () => dumps.isListed,
    store,
    clock,
    log,
    intervalMs: settings.refreshIntervalMs,
    dumps: () => dumps.index,
  });
  const isListed = (): boolean => dumps.isListed;
  const events = settings.groupEvents
    ? new NewBugEvents({ access, groups: () => groups, clock, log, isListed })
    : undefined;
  const dumps: DumpStore = new DumpStore({
    ...(segments.recall === undefined ? {} : { recall: segments.recall }),
    store,
    clock,
    log,
    rules,
    intervalMs: settings.refreshIntervalMs,
    notices: settings.notices,
    replica: randomInt(1000),
    onLook: counted.look,
    onChange: (change) => {
      segments.follow(change);
      groups.index.follow(change);
      events?.follow(change);
    },
  });
  countGroups(metrics, () => groups, clock);
  const ttlMs = settings.rightsCacheMs;
  const tokens = new TokenReviewer(cluster, clock, { audiences: settings.audiences, ttlMs });
  const board = settings.notices ? new NoticeBoard({ store, clock, log }) : undefined;
  const app: AppContext = {
    dumps,
    fileNames: new FileNames({ store, clock, stopSignal }),
    keptParts: rememberParts({ store, clock, stopSignal }),
    groups,
    board,
    settings,
    clock,
    log,
    rights: new AccessReviewer(cluster, clock, { ttlMs }),
    authenticate: (exchange) => authenticate(exchange.request, { frontProxy, tokens }),
    connections,
    gates,
    refusals: new RefusalLog(clock, log),
    tickets: new Tickets(clock, pair.key),
    metrics: counted,
    stopSignal,
  };
  const readiness = (): string[] => [
    ...(dumps.isLoaded ? [] : [whyNotListed(dumps)]),
    ...(frontProxy?.trouble === undefined ? [] : [`the front proxy is not known: ${frontProxy.trouble}`]),
  ];
  const server = new TlsServer(pair, {
    files: tlsFiles,
    clock,
    log,
    answer: makeApp(app, makeHandlers({ readiness, files: options.files })),
    connections,
    onKey: (keyPem) => app.tickets.rekey(keyPem),
  });
  if (frontProxy !== undefined) frontProxy.onAuthorities = (caPem) => server.setClientAuthorities(caPem);

  const address = await server.listen(settings.listenAddress);
  log.info("serving", { host: address.host, port: address.port, store: store.url });
  const probes = {
    ...daemonRoutes((): Health => ({ ok: true, reasons: [] }), metrics),
    "/readyz": () => readyAnswer(readiness()),
  };
  const beside =
    settings.metricsAddress === undefined ? undefined : await startHttpServer(settings.metricsAddress, probes);
  if (beside !== undefined) log.info("serving metrics and probes", { host: beside.host, port: beside.port });
  const identity = options.env["POD_NAME"] ?? hostname();
  try {
    await Promise.all([
      dumps.run(stopSignal),
      dumps.runNotices(stopSignal),
      groups.states.run(stopSignal),
      events?.run(stopSignal),
      board?.run(stopSignal),
      frontProxy?.run(stopSignal),
      server.followFiles(stopSignal),
      connections.run(stopSignal),
      lead({
        works: [
          retentionWork({
            settings,
            placement: rules,
            store,
            board,
            clock,
            log,
            metrics,
            access,
            identity,
            index: {
              isListed: () => dumps.isListed,
              lookUp: (stem, manifest) => knownFacts(dumps.index, stem, manifest),
              // What the index does not know, retention has read itself.
              prove: async (stem) => dumps.index.byStem(stem) === undefined || (await dumps.prove(stem)),
            },
          }),
          segments.work(dumps),
        ],
        settings,
        access,
        identity,
        clock,
        log,
        stopSignal,
      }),
    ]);
  } finally {
    await server.close(stopSignal.aborted ? GRACE_MS : 0);
    await beside?.close();
    agent.destroy();
  }
  log.info("stopped");
}

/** @throws {CdhError} CDH_CONFIG_INVALID */
function tlsFilesOf(settings: ApiSettings): { certFile: string; keyFile: string } {
  const { tlsCertFile, tlsKeyFile } = settings;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "TLS_CERT_FILE and TLS_KEY_FILE are not set", {
      hint: "it serves nothing without TLS",
    });
  }
  return { certFile: tlsCertFile, keyFile: tlsKeyFile };
}

function readyAnswer(reasons: readonly string[]): { status: number; body: string } {
  return { status: reasons.length === 0 ? 200 : 503, body: reasons.length === 0 ? "ok\n" : `${reasons.join("\n")}\n` };
}

/** Anybody may ask for readiness, so the store's own words stay in the log. */
function whyNotListed({ trouble }: DumpStore): string {
  if (trouble === undefined) return "the store is not listed yet";
  return `the store is in trouble${trouble instanceof CdhError ? `: ${trouble.code}` : ""}`;
}

/** What retention needs of a manifest, when the index has read the one that the store shows. */
function knownFacts(index: DumpIndex, stem: string, manifest: ObjectInfo): ManifestFacts | undefined {
  const record = index.byStem(stem);
  return record?.manifestStamp === stampOf(manifest) ? factsOfRecord(record) : undefined;
}
