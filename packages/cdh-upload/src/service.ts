import { writeFile } from "node:fs/promises";
import { soon } from "@cdh/core/async/soon";
import type { ForgottenFiles } from "@cdh/core/base/forgotten-files";
import type { Manifest } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import { showForgottenFiles } from "@cdh/core/forgotten-files-metric";
import { daemonRoutes, startHttpServer, type Health, type HttpServer } from "@cdh/core/http-server";
import { findKubernetes } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { isMemoryLost } from "@cdh/core/report/completeness";
import { makeRoots } from "@cdh/core/roots";
import { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { runDaemon } from "./daemon.ts";
import { Housekeeper } from "./housekeeping.ts";
import { findJournalctl } from "./import/find-journalctl.ts";
import { Importer } from "./import/importer.ts";
import type { Lane } from "./queue/lane.ts";
import type { Queue } from "./queue/queue.ts";
import { bytesOf } from "./queue/survey.ts";
import { routeOfNamespace, type Route } from "./rules/routes.ts";
import { DEFAULT_RULE } from "./rules/rules-file.ts";
import { completeFromKubernetes, type PodCompleter } from "./send/pod-facts.ts";
import { BinarySender, type BinaryOutcome } from "./send/send-binaries.ts";
import type { UploadSettings } from "./settings.ts";
import { combineEvents, type Talker, type UploadEvents } from "./tell/events.ts";
import { writeKubernetesEvents } from "./tell/kubernetes-events.ts";
import { errorFields } from "./tell/upload-log.ts";
import { countUploads, type RuleFacts } from "./tell/upload-metrics.ts";
import { sendCloudEvents } from "./tell/webhook.ts";
import { CountedPublisher } from "./tidy/publish-counted.ts";
import { salvageTorn } from "./tidy/salvage-torn.ts";
import { Uploader } from "./uploader.ts";

/** How long messages about the last uploads may take once everything else has ended. */
const LAST_WORDS_MS = 5000;

/** What the service needs. */
export interface ServiceOptions {
  settings: UploadSettings;
  store: ObjectStore;
  /** The rules, with their stores. */
  routes: readonly Route[];
  clock: Clock;
  log: Logger;
  env: Readonly<Record<string, string | undefined>>;
  version: string;
  stopSignal: AbortSignal;
  forgottenFiles?: ForgottenFiles | undefined;
}

/** Run the uploader with everything around it: metrics, probes, Events, webhook. Ends when told to stop. */
export async function runService(options: ServiceOptions): Promise<void> {
  const { settings, store, routes, clock, log, stopSignal } = options;
  const metrics = createMetrics();
  showForgottenFiles(metrics, options.forgottenFiles);
  const talkers = makeTalkers(options);
  /** Why a store is in trouble, by its rule; the default store's is undefined. */
  const troubled = new Map<string | undefined, string>();
  const listeners: UploadEvents[] = [
    ...talkers,
    {
      storeTrouble: (error, waitMs, rule) => {
        if (!troubled.has(rule)) tellTrouble(log, { error, waitMs, rule, isAlone: routes.length === 0 });
        troubled.set(rule, reasonOf(error));
      },
      storeRecovered: (rule) => void troubled.delete(rule),
    },
  ];
  // The listeners are complete only when the metrics are, and those look into the uploader.
  const events = combineEvents(listeners);
  const board = settings.notices ? new NoticeBoard({ store, clock, log }) : undefined;
  const uploader = new Uploader({
    settings,
    store,
    routes,
    board,
    completePod: makeCompleter(options),
    clock,
    log,
    events,
  });
  const housekeeper = new Housekeeper({ settings, uploader, routes, events, clock, log });
  const sources = {
    version: options.version,
    spool: () => housekeeper.facts,
    storeAvailable: () => uploader.lanes[0]?.circuit.isOpen !== true,
    running: () => uploader.running,
    ...(routes.length === 0
      ? {}
      : { rules: () => uploader.lanes.slice(1).map((lane) => describeLane(lane, uploader.queue)) }),
  };
  listeners.push(countUploads(metrics, sources, clock));

  const salvaged = metrics.counter(
    "cdh_upload_salvaged_total",
    "Crashes whose composer died, by what was kept of them.",
  );
  const onSalvaged = (manifest: Manifest): void => salvaged.inc({ memory: isMemoryLost(manifest) ? "none" : "some" });
  const importer = makeImporter(options);
  const counted = new CountedPublisher({ coreDir: settings.coreDir, clock, log });
  let importing: Promise<unknown> | undefined;
  // Making a bundle of a large core takes its time; looking and sending go on meanwhile.
  const importBeside = (): void => {
    if (importing !== undefined) return;
    const { coreDir, message } = settings;
    importing = salvageTorn({ coreDir, message, clock, log, version: options.version, stopSignal, onSalvaged })
      .then(() => counted.look())
      .then(() => (importer.isUsed ? importer.look() : 0))
      .catch((error: unknown) => log.error("cannot look for cores", { reason: reasonOf(error) }))
      .finally(() => (importing = undefined));
  };

  const binariesSent = metrics.counter(
    "cdh_upload_program_files_total",
    "Files of programs that left the spool, by what became of them.",
  );
  const onBinary = (outcome: BinaryOutcome): void => binariesSent.inc({ outcome });
  const binaries = makeBinarySender({ settings, store, routes, clock, log }, { uploader, onOutcome: onBinary });
  const ended = new AbortController();

  let looked = false;
  let lookTrouble: string | undefined;
  const health = (): Health => ({
    ok: lookTrouble === undefined,
    reasons: lookTrouble === undefined ? [] : [lookTrouble],
  });
  const readiness = (): Health => {
    const reasons = [...(looked ? [] : ["the first look at the spool is not done"]), ...health().reasons];
    // A tenant's store says nothing about this program: its own metric and the log tell.
    const trouble = troubled.get(undefined);
    if (trouble !== undefined) reasons.push(trouble);
    return { ok: reasons.length === 0, reasons };
  };
  const server = await serve(settings, {
    ...daemonRoutes(health, metrics, () => housekeeper.refresh()),
    "/readyz": () => answerOf(readiness()),
  });
  if (server !== undefined) log.info("serving metrics and probes", { host: server.host, port: server.port });
  const tidying = board?.run(stopSignal);
  const sendingBinaries = binaries.run(AbortSignal.any([stopSignal, ended.signal]));
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
        binaries.hurry();
        if (!looked) await writeStatus(settings, "started", log);
        looked = true;
      },
    });
    await importing;
    // A spool that hangs answers nobody.
    await soon(sendingBinaries, LAST_WORDS_MS, clock);
    await tidying;
    await soon(Promise.all(talkers.map((talker) => talker.settle())), LAST_WORDS_MS, clock);
  } finally {
    ended.abort();
    for (const talker of talkers) talker.close();
    await writeStatus(settings, "dead", log);
    await server?.close();
  }
  log.info("stopped", { left: uploader.queue.size });
}

/** Say once that a store is in trouble, and who waits for it. */
function tellTrouble(
  log: Logger,
  trouble: { error: unknown; waitMs: number; rule: string | undefined; isAlone: boolean },
): void {
  const { error, waitMs, rule, isAlone } = trouble;
  const fields = { waitMs: Math.round(waitMs), ...errorFields(error) };
  if (rule !== undefined) log.error("the store of a rule is in trouble; its bundles wait", { rule, ...fields });
  else if (isAlone) log.error("the store is in trouble; all uploads wait", fields);
  else log.error("the default store is in trouble; its bundles wait", fields);
}

function describeLane({ name, circuit }: Lane, queue: Queue): RuleFacts {
  const files = Array.from(queue.items(name), (item) => item.file);
  return { rule: name, isAvailable: !circuit.isOpen, waiting: { bundles: files.length, bytes: bytesOf(files) } };
}

/** Make what sends the programs that crashed. @param beside.uploader whose bundles come first */
export function makeBinarySender(
  { settings, store, routes, clock, log }: Pick<ServiceOptions, "settings" | "store" | "routes" | "clock" | "log">,
  { uploader, onOutcome }: { uploader?: Uploader; onOutcome?: (outcome: BinaryOutcome) => void } = {},
): BinarySender {
  return new BinarySender({
    coreDir: settings.coreDir,
    wayOf: (namespace) => {
      const route = namespace === undefined ? undefined : routeOfNamespace(namespace, routes);
      const name = route?.rule.name ?? DEFAULT_RULE;
      const lane = uploader?.lanes.find((one) => one.name === name);
      const isTroubled = (): boolean => uploader !== undefined && lane?.isTroubled(uploader.queue) === true;
      return { name, store: route?.store ?? store, isTroubled };
    },
    hasRules: routes.length > 0,
    isIdle: () => uploader?.lanes.some((lane) => lane.isBusy(uploader.queue, clock.monotonic())) !== true,
    ...(onOutcome === undefined ? {} : { onOutcome }),
    clock,
    log,
  });
}

/** Make the importer that the settings ask for. */
export function makeImporter(
  options: Pick<ServiceOptions, "settings" | "clock" | "log" | "version" | "stopSignal">,
): Importer {
  const { settings, clock, log, version, stopSignal } = options;
  const { coreDir, watchPattern, systemdCoredumpDir: systemdDir, nodeName, clusterName } = settings;
  const roots = makeRoots({ hostRoot: settings.hostRoot });
  return new Importer({
    coreDir,
    watchPattern,
    message: settings.message,
    systemdDir,
    owners: {
      roots,
      journal: {
        journalctl: findJournalctl(roots, settings.journalctl),
        directory: settings.journalDirectory,
        signal: stopSignal,
      },
    },
    nodeName,
    clusterName,
    clock,
    log,
    version,
    signal: stopSignal,
  });
}

/** Who knows of pods what the node did not. */
function makeCompleter({ settings, clock, log, env }: ServiceOptions): PodCompleter | undefined {
  if (settings.podFacts === false) return undefined;
  const access = findKubernetes(env, env["KUBERNETES_SERVICE_ACCOUNT_DIR"]);
  if (access !== undefined) return completeFromKubernetes(access, { clock, log });
  if (settings.podFacts === true) log.warn("no facts of pods: not inside of a cluster");
  return undefined;
}

/** Those who tell others about uploads. */
function makeTalkers(options: ServiceOptions): Talker[] {
  const { settings, clock, log, env } = options;
  const talkers: Talker[] = [];
  const access =
    settings.kubernetesEvents === false ? undefined : findKubernetes(env, env["KUBERNETES_SERVICE_ACCOUNT_DIR"]);
  if (access !== undefined)
    talkers.push(writeKubernetesEvents(access, { clock, log, nodeName: settings.nodeName, hasApi: settings.hasApi }));
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
