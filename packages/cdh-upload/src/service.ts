import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import { daemonRoutes, startHttpServer, type Health, type HttpServer } from "@cdh/core/http-server";
import { findKubernetes } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import type { ObjectStore } from "@cdh/core/store/store";
import { writeFile } from "node:fs/promises";
import { runDaemon } from "./daemon.ts";
import { combineEvents, type Talker, type UploadEvents } from "./events.ts";
import { Housekeeper } from "./housekeeping.ts";
import { writeKubernetesEvents } from "./kubernetes-events.ts";
import { salvageTorn } from "./salvage-torn.ts";
import type { UploadSettings } from "./settings.ts";
import { Importer } from "./sources/importer.ts";
import { errorFields } from "./upload-log.ts";
import { countUploads } from "./upload-metrics.ts";
import { Uploader } from "./uploader.ts";
import { sendCloudEvents } from "./webhook.ts";

/** How long messages about the last uploads may take once everything else has ended. */
const LAST_WORDS_MS = 5000;

/** What the service needs. */
export interface ServiceOptions {
  settings: UploadSettings;
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  env: Readonly<Record<string, string | undefined>>;
  version: string;
  stopSignal: AbortSignal;
}

/** Run the uploader with everything around it: metrics, probes, Events, webhook. Ends when told to stop. */
export async function runService(options: ServiceOptions): Promise<void> {
  const { settings, store, clock, log, stopSignal } = options;
  const metrics = createMetrics();
  const talkers = makeTalkers(options);
  let troubled: string | undefined;
  const listeners: UploadEvents[] = [
    ...talkers,
    {
      storeTrouble: (error, waitMs) => {
        if (troubled === undefined)
          log.error("the store is in trouble; all uploads wait", { waitMs: Math.round(waitMs), ...errorFields(error) });
        troubled = reasonOf(error);
      },
      storeRecovered: () => (troubled = undefined),
    },
  ];
  // The listeners are complete only when the metrics are, and those look into the uploader.
  const events = combineEvents(listeners);
  const uploader = await Uploader.open({ settings, store, clock, log, events });
  const housekeeper = new Housekeeper({ settings, uploader, events, log });
  const sources = {
    version: options.version,
    spool: () => housekeeper.facts,
    storeAvailable: () => !uploader.circuit.isOpen,
    running: () => uploader.running,
  };
  listeners.push(countUploads(metrics, sources, clock));

  const importer = makeImporter(options);
  let importing: Promise<unknown> | undefined;
  // Making a bundle of a large core takes its time; looking and sending go on meanwhile.
  const importBeside = (): void => {
    if (importing !== undefined) return;
    const { coreDir } = settings;
    importing = salvageTorn({ coreDir, clock, log, version: options.version, stopSignal })
      .then(() => (importer.isUsed ? importer.look() : 0))
      .catch((error: unknown) => log.error("cannot look for cores", { reason: reasonOf(error) }))
      .finally(() => (importing = undefined));
  };

  let looked = false;
  let lookTrouble: string | undefined;
  const health = (): Health => ({
    ok: lookTrouble === undefined,
    reasons: lookTrouble === undefined ? [] : [lookTrouble],
  });
  const readiness = (): Health => {
    const reasons = [...(looked ? [] : ["the first look at the spool is not done"]), ...health().reasons];
    if (troubled !== undefined) reasons.push(troubled);
    return { ok: reasons.length === 0, reasons };
  };
  const server = await serve(settings, {
    ...daemonRoutes(health, metrics, () => housekeeper.refresh()),
    "/readyz": () => answerOf(readiness()),
  });
  if (server !== undefined) log.info("serving metrics and probes", { host: server.host, port: server.port });
  try {
    await runDaemon({
      settings,
      uploader,
      clock,
      log,
      stopSignal,
      onLook: async (look) => {
        lookTrouble = "failure" in look ? `cannot look at the spool: ${reasonOf(look.failure)}` : undefined;
        if ("files" in look) await housekeeper.look(look.files);
        importBeside();
        if (!looked) await writeStatus(settings, "started", log);
        looked = true;
      },
    });
    await importing;
    const patience = new AbortController();
    await Promise.race([
      Promise.all(talkers.map((talker) => talker.settle())),
      clock.sleep(LAST_WORDS_MS, patience.signal).catch(() => {}),
    ]);
    patience.abort();
  } finally {
    for (const talker of talkers) talker.close();
    await writeStatus(settings, "dead", log);
    await server?.close();
  }
  log.info("stopped", { left: uploader.queue.size });
}

/** Make the importer that the settings ask for. */
export function makeImporter(
  options: Pick<ServiceOptions, "settings" | "clock" | "log" | "version" | "stopSignal">,
): Importer {
  const { settings, clock, log, version, stopSignal } = options;
  const { coreDir, watchPattern, systemdCoredumpDir: systemdDir, nodeName, clusterName } = settings;
  return new Importer({
    coreDir,
    watchPattern,
    systemdDir,
    nodeName,
    clusterName,
    clock,
    log,
    version,
    signal: stopSignal,
  });
}

/** Those who tell others about uploads. */
function makeTalkers(options: ServiceOptions): Talker[] {
  const { settings, clock, log, env } = options;
  const talkers: Talker[] = [];
  const access =
    settings.kubernetesEvents === false ? undefined : findKubernetes(env, env["KUBERNETES_SERVICE_ACCOUNT_DIR"]);
  if (access !== undefined) talkers.push(writeKubernetesEvents(access, { clock, log, nodeName: settings.nodeName }));
  else if (settings.kubernetesEvents === true) log.warn("no Events: not inside of a cluster");
  if (settings.webhookUrl !== undefined)
    talkers.push(sendCloudEvents(settings.webhookUrl, { clock, log, nodeName: settings.nodeName }));
  return talkers;
}

async function serve(
  settings: UploadSettings,
  routes: Parameters<typeof startHttpServer>[1],
): Promise<HttpServer | undefined> {
  return settings.metricsAddress === undefined ? undefined : await startHttpServer(settings.metricsAddress, routes);
}

function answerOf({ ok, reasons }: Health): { status: number; body: string } {
  return { status: ok ? 200 : 503, body: ok ? "ok\n" : `${reasons.join("\n")}\n` };
}

async function writeStatus(settings: UploadSettings, status: "started" | "dead", log: Logger): Promise<void> {
  if (settings.statusFile === undefined) return;
  await writeFile(settings.statusFile, `${status}\n`).catch((error: unknown) => {
    log.warn("cannot write the status file", { path: settings.statusFile, reason: reasonOf(error) });
  });
}
