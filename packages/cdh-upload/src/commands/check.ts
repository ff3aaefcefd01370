import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { ERROR_CODES, EXIT } from "@cdh/core/errors";
import { renderRows } from "@cdh/core/output";
import { DEFAULT_RULE } from "../rules/rules-file.ts";
import { checkStore, type CheckStep } from "../send/check-store.ts";
import { PROBE_PART_BYTES } from "../send/probe-file.ts";
import { UploadCommand, type OpenStores } from "./upload-command.ts";

/** `cdh-upload check`: prove that the store can be used, and each store of the rules. */
export class CheckCommand extends UploadCommand {
  static override paths = [["check"]];
  static override usage = Command.Usage({
    description: "write, read, keep, list and delete probes in the store, as `run` needs it",
    details: `Shows each step with the right that it needs, and says why one failed and what to do. Rights that uploads do without are shown as missing, with what is lost without them, and fail nothing. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Check the store of the environment", "cdh-upload check"]],
  });

  async run(): Promise<number> {
    const resolved = this.resolve();
    if (this.printConfig) return this.showSettings(resolved);
    const format = this.format();
    // Small parts, so that a check of the way in parts need not send more than five megabytes.
    const { values } = resolved;
    const small = { ...resolved, values: { ...values, partBytes: Math.min(values.partBytes, PROBE_PART_BYTES) } };
    const stores = await this.openStores(small, this.logger());
    try {
      const checked = await this.#checkAll(stores, values.coreDir);
      const hasRules = stores.routes.length > 0;
      // Without rules the answer is what it was before there were any.
      const rows = checked.flatMap(({ rule, steps }) => steps.map((step) => (hasRules ? { rule, ...step } : step)));
      this.context.stdout.write(renderRows(format, "steps", rows, hasRules ? [RULE_COLUMN, ...COLUMNS] : COLUMNS));
      if (format === "table") for (const each of checked) this.#conclude(each, hasRules);
      const failed = rows.find((step) => step.result === "failed");
      return failed === undefined ? EXIT.ok : this.endedBy(EXIT[ERROR_CODES[failed.code ?? "CDH_STORE"]]);
    } finally {
      await stores.close();
    }
  }

  /** Check every store at the same time: one that hangs holds up none. */
  async #checkAll({ store, routes }: OpenStores, coreDir: string): Promise<CheckedStore[]> {
    const { clock, stopSignal: signal } = this.context;
    const all = [
      { rule: DEFAULT_RULE, store },
      ...routes.map((route) => ({ rule: route.rule.name, store: route.store })),
    ];
    return await Promise.all(
      all.map(async ({ rule, store: each }) => ({
        rule,
        url: each.url,
        role: each.role,
        steps: await checkStore(each, { clock, signal, coreDir }),
      })),
    );
  }

  #conclude({ rule, url, role, steps }: CheckedStore, isNamed: boolean): void {
    const failed = steps.find((step) => step.result === "failed");
    const missing = steps.flatMap(({ result, right }) => (result === "missing" && right !== undefined ? [right] : []));
    const rights = missing.length === 1 ? "a right is" : "rights are";
    const lack = missing.length === 0 ? "" : `; ${rights} missing: ${missing.join(" ")}`;
    const who = isNamed ? `${rule}: ${url}` : url;
    this.say(`${who} ${failed === undefined ? "can" : "cannot"} be used${lack}`);
    for (const { result, detail, hint } of steps)
      if (result === "warning") this.say(`warning: ${detail}${hint === undefined ? "" : `\nhint: ${hint}`}`);
    if (failed?.hint !== undefined) this.say(`hint: ${failed.hint}`);
    else if (missing.length > 0 && role !== undefined) this.say(`hint: the role ${role} has them all`);
  }
}

/** What the check of one store found. */
interface CheckedStore {
  /** The rule's name, or `default`. */
  rule: string;
  url: string;
  role: string | undefined;
  steps: CheckStep[];
}

type CheckRow = CheckStep & { rule?: string };

const RULE_COLUMN = { header: "RULE", value: (row: CheckRow) => row.rule ?? "" };

const COLUMNS = [
  { header: "STEP", value: (row: CheckRow) => row.step },
  { header: "RESULT", value: (row: CheckRow) => row.result },
  { header: "RIGHT", value: (row: CheckRow) => row.right ?? "-" },
  { header: "MS", value: (row: CheckRow) => String(row.durationMs), align: "right" as const },
  { header: "DETAIL", value: (row: CheckRow) => `${row.detail}${row.code === undefined ? "" : ` (${row.code})`}` },
];
