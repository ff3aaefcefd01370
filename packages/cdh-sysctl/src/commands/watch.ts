import { rmSync, writeFileSync } from "node:fs";
import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { settingFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { showForgottenFiles } from "@cdh/core/forgotten-files-metric";
import { daemonRoutes, startHttpServer, type Health, type HttpServer } from "@cdh/core/http-server";
import { findKubernetes } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { applyRestore } from "../change/run-plan.ts";
import { sysctlSettings } from "../settings.ts";
import { AnsweringPaths, unanswered, untilAnswering } from "../watch/answering-paths.ts";
import {
  askUninstall,
  findOwnDaemonSet,
  type OwnDaemonSet,
  type UninstallSigns,
  type UninstallVerdict,
} from "../watch/is-uninstall.ts";
import { Lease } from "../watch/lease.ts";
import { ReleaseWatch } from "../watch/release-watch.ts";
import { declareWatchMetrics, type WatchMetrics } from "../watch/watch-metrics.ts";
import { watchNode } from "../watch/watch-node.ts";
import { directoriesOf, prepareInstall, type Inputs, type InstallContext, type SysctlSettings } from "./context.ts";
import { NodeCommand } from "./node-command.ts";

/** What probes and metrics show at the moment. */
interface Shown {
  health: Health;
}

/** What is known when a watch ends. */
interface Leaving {
  own: OwnDaemonSet | undefined;
  superseded: boolean;
  signs: UninstallSigns;
  logger: Logger;
}

/** `cdh-sysctl watch` */
export class WatchCommand extends NodeCommand {
  static override paths = [["watch"]];
  static override usage = Command.Usage({
    category: "Node",
    description: "install, and keep it installed",
    details: `
      Installs, then compares the node with what was installed, on an interval and when files change. What drifts is
      logged, counted and put right. On SIGTERM the handler stays in place, unless this is an uninstall
      (\`--restore-on-exit\`): it works on its own and keeps the cores on the node until an uploader comes back.

      Exit status: ${EXIT_STATUS_HELP}
    `,
    examples: [["In a DaemonSet", "cdh-sysctl watch --host-root /host --proc-root /host/proc --metrics-addr :9110"]],
  });

  watchIntervalMs = settingFlag(sysctlSettings.watchIntervalMs);
  selfTestIntervalMs = settingFlag(sysctlSettings.selfTestIntervalMs);
  restoreOnExit = settingFlag(sysctlSettings.restoreOnExit);
  readyFile = settingFlag(sysctlSettings.readyFile);
  metricsAddress = settingFlag(sysctlSettings.metricsAddress);

  /** Its probes and metrics answer while it waits: {@link untilAnswering} is asked once they do. */
  protected override async untilAnswers(): Promise<void> {}

  async run(): Promise<number> {
    const inputs = this.inputs();
    if (this.printConfig) return this.showSettings(prepareInstall(inputs));
    const logger = this.logger();
    const { clock, version, stopSignal: signal } = this.context;
    const { settings, directories } = directoriesOf(inputs);
    const shown: Shown = { health: { ok: false, reasons: ["not installed yet"] } };
    const metrics = createMetrics();
    showForgottenFiles(metrics, this.context.forgottenFiles);
    const counters = declareWatchMetrics(metrics, version, () => clock.now());
    const server = await this.#serve(
      settings,
      daemonRoutes(() => shown.health, metrics),
      logger,
    );
    const paths = new AnsweringPaths(directories, clock);
    let told = false;
    const onSilent = (path: string): void => {
      shown.health = unanswered(path);
      if (!told) logger.error("cannot begin", { reasons: shown.health.reasons });
      told = true;
    };
    try {
      if (await untilAnswering(paths, { clock, signal, onSilent }))
        await this.#watch(inputs, { shown, counters, paths, logger });
    } finally {
      if (settings.readyFile !== undefined) rmSync(settings.readyFile, { force: true });
      await server?.close();
    }
    return EXIT.ok;
  }

  async #watch(
    inputs: Inputs,
    { shown, counters, paths, logger }: { shown: Shown; counters: WatchMetrics; paths: AnsweringPaths; logger: Logger },
  ): Promise<void> {
    const context = prepareInstall(inputs);
    const { node, desired, problems, settings } = context;
    if (problems.length > 0 || desired === undefined) this.refuse(`cannot install into ${node.hostDir}`, problems);
    for (const note of context.notes) logger.warn(note);
    const lease = new Lease(node);
    let release: ReleaseWatch | undefined;
    try {
      const own = settings.restoreOnExit === "auto" ? await this.#findOwn(settings, logger) : undefined;
      if (own !== undefined && settings.roleBindingName !== undefined)
        release = new ReleaseWatch(own.access, {
          namespace: own.namespace,
          roleBinding: settings.roleBindingName,
          clock: this.context.clock,
          onProblem: (reason) =>
            logger.warn("cannot watch the release; an uninstall may not be recognised", { reason }),
        });
      const { superseded } = await watchNode(node, desired, {
        lease,
        paths,
        lockTimeoutMs: settings.lockTimeoutMs,
        intervalMs: settings.watchIntervalMs,
        selfTestIntervalMs: settings.selfTestIntervalMs,
        proofTimeoutMs: settings.proveCapture ? settings.doctorTimeoutMs : undefined,
        signal: this.context.stopSignal,
        logger,
        metrics: counters,
        after: (step) => {
          if (step.outcome !== "unchanged") logger.debug("step", { ...step });
        },
        onHealth: (next) => {
          if (next.ok !== shown.health.ok) this.#announce(settings, logger, next);
          shown.health = next;
        },
      });
      const signs = { release, hasSuccessor: () => lease.hasSuccessor };
      await this.#leave(context, { own, superseded, signs, logger });
    } finally {
      release?.close();
    }
  }

  async #serve(
    settings: SysctlSettings,
    routes: Parameters<typeof startHttpServer>[1],
    logger: Logger,
  ): Promise<HttpServer | undefined> {
    if (settings.metricsAddress === undefined) return undefined;
    const server = await startHttpServer(settings.metricsAddress, routes);
    logger.info("serving /healthz and /metrics", { host: server.host, port: server.port });
    return server;
  }

  #announce(settings: SysctlSettings, logger: Logger, health: Health): void {
    if (health.ok) logger.info("the node is well");
    else logger.warn("the node is not well", { reasons: health.reasons });
    if (settings.readyFile === undefined) return;
    if (health.ok) writeFileSync(settings.readyFile, "ready\n");
    else rmSync(settings.readyFile, { force: true });
  }

  async #findOwn(settings: SysctlSettings, logger: Logger): Promise<OwnDaemonSet | undefined> {
    const access = findKubernetes(this.context.env, settings.serviceAccountDirectory);
    if (access === undefined) return undefined;
    const own = await findOwnDaemonSet(access, {
      podName: settings.podName,
      namespace: settings.podNamespace,
      daemonSetName: settings.daemonSetName,
    });
    if (!("unknown" in own)) return own;
    logger.warn("an uninstall will not be recognised: the handler stays when this program ends", {
      reason: own.unknown,
    });
    return undefined;
  }

  async #leave({ node, settings }: InstallContext, { own, superseded, signs, logger }: Leaving): Promise<void> {
    const verdict = await this.#judge(settings, { own, superseded, signs });
    if (!verdict.uninstall) {
      logger.info("stopped; the handler stays in place", { reason: verdict.reason });
      return;
    }
    logger.info("stopped; restoring the node", { reason: verdict.reason });
    const { steps, left, kept } = await applyRestore(node, {
      lockTimeoutMs: settings.lockTimeoutMs,
      configured: { core_pipe_limit: String(settings.corePipeLimit), suid_dumpable: String(settings.suidDumpable) },
      after: (step) => {
        if (step.outcome === "failed") logger.error("cannot restore", { ...step });
        else if (step.outcome !== "unchanged") logger.debug("step", { ...step });
      },
    });
    logger.info("restored", { left, kept, failed: steps.filter(({ outcome }) => outcome === "failed").length });
  }

  async #judge(
    settings: SysctlSettings,
    { own, superseded, signs }: Omit<Leaving, "logger">,
  ): Promise<UninstallVerdict> {
    if (settings.restoreOnExit !== "auto") {
      return { uninstall: settings.restoreOnExit === "always", reason: `RESTORE_ON_EXIT=${settings.restoreOnExit}` };
    }
    if (superseded) return { uninstall: false, reason: "another cdh-sysctl has installed" };
    if (own === undefined) return { uninstall: false, reason: "nothing says that this is an uninstall" };
    return askUninstall(own, this.context.clock, signs);
  }
}
