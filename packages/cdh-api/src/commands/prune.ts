import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { settingFlag } from "@cdh/core/cli/flags";
import { SettingsCommand } from "@cdh/core/cli/settings-command";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError, EXIT, reasonOf } from "@cdh/core/errors";
import { findKubernetes } from "@cdh/core/kubernetes";
import { printable, renderRows, stringifyJson, type Column, type OutputFormat } from "@cdh/core/output";
import { refuseTwoStores } from "@cdh/core/store/one-store";
import { openStore } from "@cdh/core/store/open";
import { formatBytes } from "@cdh/core/units";
import type { KeepReason } from "../retention/decide.ts";
import { limitsAnything, needsKubernetes } from "../retention/policy.ts";
import { runRound, type RoundReport } from "../retention/round.ts";
import { makeRound } from "../retention/service.ts";
import { policyOf } from "../retention/settings.ts";
import { keysOfStem } from "../retention/stored-bundle.ts";
import { apiSettings, type ApiSettings } from "../settings.ts";

interface Row {
  namespace: string;
  bundle: string;
  storedAt: string;
  sizeBytes: number;
  reason: string;
  why: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { header: "NAMESPACE", value: ({ namespace }) => namespace || "-" },
  { header: "STORED", value: ({ storedAt }) => storedAt.replace(/\.\d+Z$/, "Z") || "-" },
  { header: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes), align: "right" },
  { header: "REASON", value: ({ reason }) => reason },
  { header: "WHY", value: ({ why }) => why },
  { header: "BUNDLE", value: ({ bundle }) => bundle },
];

const WORDS: Record<KeepReason, string> = {
  withinLimits: "within the limits",
  keepLabel: "protected by a keep label",
  garbageManifest: "with a manifest that cannot be read",
  noManifest: "without a manifest",
  otherCluster: "of another cluster",
};

/** `cdh-api prune`: remove once what the retention settings do not keep. */
export class PruneCommand extends SettingsCommand {
  static override paths = [["prune"]];

  static override usage = Command.Usage({
    description: "remove from the store what the retention settings do not keep, once",
    details: `Settings are those of the service (RETENTION_MAX_AGE, RETENTION_MAX_COUNT, …). Nothing is removed when the store or the API server cannot say what there is. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [
      ["See what the service would remove", "kubectl exec deploy/cdh-api -- cdh-api prune --dry-run"],
      ["Keep 30 days of a directory", "cdh-api prune --store file:///cores --max-age 30d"],
    ],
  });

  storeUrl = settingFlag(apiSettings.storeUrl);
  dryRun = Option.Boolean("--dry-run", false, { description: "only show what would be removed, and why" });
  ignoreSilent = Option.Boolean("--ignore-silent", false, {
    description: "remove files of programs although bundles do not say which they need; these are named",
  });
  retentionMaxAgeMs = settingFlag(apiSettings.retentionMaxAgeMs);
  retentionMaxCount = settingFlag(apiSettings.retentionMaxCount);
  retentionMaxBytes = settingFlag(apiSettings.retentionMaxBytes);
  retentionFilesGraceMs = settingFlag(apiSettings.retentionFilesGraceMs);

  async run(): Promise<number | void> {
    const { env, clock, stopSignal } = this.context;
    const format = this.format();
    const resolved = this.resolveStrictly(apiSettings);
    if (this.printConfig) return this.showConfig(apiSettings, resolved);
    refuseTwoStores(resolved);
    const { values } = resolved;
    const access = findKubernetes(env, env["KUBERNETES_SERVICE_ACCOUNT_DIR"]);
    refuse(values, access !== undefined);
    const log = this.logger();
    const store = await openStore(values, { clock, log, env });
    try {
      await refuseNoDirectory(store.url);
      const round = makeRound(
        {
          settings: values,
          placement: values,
          store,
          clock,
          log,
          access,
          identity: `prune-${env["POD_NAME"] ?? hostname()}-${clock.now()}`,
        },
        { dryRun: this.dryRun, removed: () => {}, removedFile: () => {} },
      );
      // A store with much to remove takes several rounds; they are told as one.
      round.ignoreSilent = this.ignoreSilent;
      const rounds: RoundReport[] = [await runRound(round, stopSignal)];
      while (rounds.at(-1)?.hasMore === true) rounds.push(await runRound(round, stopSignal));
      const files = rounds.at(-1)?.files;
      for (const example of files?.silent.examples ?? []) this.context.stderr.write(`${printable(example)}\n`);
      if (files !== undefined && files.silent.count > 0)
        log.warn("no file of a program is removed: bundles do not say which they need", {
          bundles: files.silent.count,
        });
      return this.#show(format, rounds);
    } finally {
      await store.close();
    }
  }

  /** @returns the exit status */
  #show(format: OutputFormat, rounds: readonly RoundReport[]): number {
    const rows = [...new Map(rounds.flatMap(rowsOf).map((row) => [row.bundle, row])).values()];
    const removed = this.dryRun
      ? 0
      : rounds.reduce((sum, round) => sum + round.removed + round.unfinished.length + (round.files?.removed ?? 0), 0);
    const isSilent = !this.ignoreSilent && (rounds.at(-1)?.files?.silent.count ?? 0) > 0;
    const status = (this.dryRun || removed >= rows.length) && !isSilent ? EXIT.ok : EXIT.incomplete;
    const { stdout } = this.context;
    const { kept, keptBytes } = rounds.at(-1)?.decision ?? { kept: {}, keptBytes: 0 };
    if (format === "json") {
      stdout.write(`${stringifyJson({ removals: rows, dryRun: this.dryRun, removed, kept, keptBytes }, 2)}\n`);
      return status;
    }
    if (format === "jsonl" || rows.length > 0) stdout.write(renderRows(format, "removals", rows, COLUMNS));
    if (format === "jsonl") return status;
    const bytes = rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const verb = this.dryRun ? "would remove" : "removed";
    const count = this.dryRun ? rows.length : removed;
    this.say(`${verb} ${count} (${formatBytes(bytes)}); ${keptText(kept)} (${formatBytes(keptBytes)}) stay`);
    return status;
  }
}

function keptText(kept: Partial<RoundReport["decision"]["kept"]>): string {
  const named = Object.entries(kept).filter(([, count]) => count > 0);
  if (named.length === 0) return "0";
  return named.map(([reason, count]) => `${count} ${WORDS[reason as KeepReason]}`).join(", ");
}

function rowsOf({ decision, unfinished, files }: RoundReport): Row[] {
  return [
    ...unfinished.map(({ stem, sizeBytes }) => ({
      namespace: "",
      bundle: keysOfStem(stem).bundle,
      storedAt: "",
      sizeBytes,
      reason: "halfRemoved",
      why: "its manifest was removed before",
    })),
    ...decision.removals.map(({ stem, namespace, at, sizeBytes, reason, why }) => ({
      namespace,
      bundle: keysOfStem(stem).bundle,
      storedAt: toRfc3339(at),
      sizeBytes,
      reason,
      why,
    })),
    ...(files?.due ?? []).map(({ key, sizeBytes, storedAt, unreferredSince }) => ({
      namespace: "",
      bundle: key,
      storedAt: toRfc3339(storedAt),
      sizeBytes,
      reason: "unreferredFile",
      why: `no bundle has referred to it since ${toRfc3339(unreferredSince)}`,
    })),
  ];
}

/** A directory that is not there has nothing to remove, and is hardly the one that was meant. @throws {CdhError} CDH_NOT_FOUND */
async function refuseNoDirectory(storeUrl: string): Promise<void> {
  if (!storeUrl.startsWith("file:")) return;
  const path = fileURLToPath(storeUrl);
  await stat(path).catch((error: unknown) => {
    throw new CdhError("CDH_NOT_FOUND", `cannot look into ${path}: ${reasonOf(error)}`, { cause: error });
  });
}

function refuse(values: ApiSettings, isInCluster: boolean): void {
  const policy = policyOf(values);
  if (!limitsAnything(policy)) {
    throw new CdhError("CDH_CONFIG_INVALID", "no setting says what may be removed", {
      hint: "give --max-age, --max-count, --max-bytes or --files-grace, or set RETENTION_NAMESPACES or one of the graces",
    });
  }
  if (needsKubernetes(policy) && !isInCluster) {
    throw new CdhError("CDH_CONFIG_INVALID", "outside of a cluster nobody can tell which pods are gone", {
      hint: "run it in the pod of cdh-api, or leave RETENTION_NAMESPACE_GONE_GRACE and RETENTION_POD_GONE_GRACE empty",
    });
  }
}
