import { rmSync, writeFileSync } from "node:fs";
import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { EXIT } from "@cdh/core/errors";
import { daemonRoutes, startHttpServer, type Health, type HttpServer } from "@cdh/core/http-server";
import { findKubernetes } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { applyRestore } from "../apply.ts";
import { prepareInstall, type InstallContext, type SysctlSettings } from "../context.ts";
import { sysctlSettings } from "../settings.ts";
import { askUninstall, findOwnDaemonSet, type OwnDaemonSet, type UninstallVerdict } from "../uninstall-question.ts";
import { declareWatchMetrics } from "../watch-metrics.ts";
import { watchNode } from "../watch.ts";
import { NodeCommand } from "./node-command.ts";

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

  interval = Option.String("--interval", { description: sysctlSettings.watchIntervalMs.doc });
  selfTestInterval = Option.String("--self-test-interval", { description: sysctlSettings.selfTestIntervalMs.doc });
  restoreOnExit = Option.String("--restore-on-exit", { description: sysctlSettings.restoreOnExit.doc });
  readyFile = Option.String("--ready-file", { description: sysctlSettings.readyFile.doc });
  metricsAddr = Option.String("--metrics-addr", { description: sysctlSettings.metricsAddress.doc });

  protected override moreFlags(): Record<string, string | undefined> {
    return {
      watchIntervalMs: this.interval,
      selfTestIntervalMs: this.selfTestInterval,
      restoreOnExit: this.restoreOnExit,
      readyFile: this.readyFile,
      metricsAddress: this.metricsAddr,
    };
  }

  async run(): Promise<number> {
    const context = prepareInstall(this.inputs());
    if (this.printConfig) return this.showConfig(context);
    const { node, desired, problems, settings } = context;
    if (problems.length > 0 || desired === undefined) this.refuse(`cannot install into ${node.hostDir}`, problems);
    const logger = this.logger();
    for (const note of context.notes) logger.warn(note);

    let health: Health = { ok: false, reasons: ["not installed yet"] };
    const metrics = createMetrics();
    const { clock, version } = this.context;
    const counters = declareWatchMetrics(metrics, version, () => clock.now());
    const server = await this.serve(
      settings,
      daemonRoutes(() => health, metrics),
      logger,
    );
    try {
      const own = settings.restoreOnExit === "auto" ? await this.findOwn(settings, logger) : undefined;
      const { superseded } = await watchNode(node, desired, {
        lockTimeoutMs: settings.lockTimeoutMs,
        intervalMs: settings.watchIntervalMs,
        selfTestIntervalMs: settings.selfTestIntervalMs,
        signal: this.context.stopSignal,
        logger,
        metrics: counters,
        after: (step) => {
          if (step.outcome !== "unchanged") logger.debug("step", { ...step });
        },
        onHealth: (next) => {
          if (next.ok !== health.ok) this.announce(settings, logger, next);
          health = next;
        },
      });
      await this.leave(context, { own, superseded, logger });
    } finally {
      if (settings.readyFile !== undefined) rmSync(settings.readyFile, { force: true });
      await server?.close();
    }
    return EXIT.ok;
  }

  private async serve(
    settings: SysctlSettings,
    routes: Parameters<typeof startHttpServer>[1],
    logger: Logger,
  ): Promise<HttpServer | undefined> {
    if (settings.metricsAddress === undefined) return undefined;
    const server = await startHttpServer(settings.metricsAddress, routes);
    logger.info("serving /healthz and /metrics", { host: server.host, port: server.port });
    return server;
  }

  private announce(settings: SysctlSettings, logger: Logger, health: Health): void {
    if (health.ok) logger.info("the node is well");
    else logger.warn("the node is not well", { reasons: health.reasons });
    if (settings.readyFile === undefined) return;
    if (health.ok) writeFileSync(settings.readyFile, "ready\n");
    else rmSync(settings.readyFile, { force: true });
  }

  private async findOwn(settings: SysctlSettings, logger: Logger): Promise<OwnDaemonSet | undefined> {
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

  private async leave(
    { node, settings }: InstallContext,
    { own, superseded, logger }: { own: OwnDaemonSet | undefined; superseded: boolean; logger: Logger },
  ): Promise<void> {
    const verdict = await this.judge(settings, own, superseded);
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

  private async judge(
    settings: SysctlSettings,
    own: OwnDaemonSet | undefined,
    superseded: boolean,
  ): Promise<UninstallVerdict> {
    if (settings.restoreOnExit !== "auto") {
      return { uninstall: settings.restoreOnExit === "always", reason: `RESTORE_ON_EXIT=${settings.restoreOnExit}` };
    }
    if (superseded) return { uninstall: false, reason: "another cdh-sysctl has installed" };
    if (own === undefined) return { uninstall: false, reason: "nothing says that this is an uninstall" };
    return askUninstall(own, this.context.clock);
  }
}
