import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { defaultedFlag, formatFlag } from "@cdh/core/cli/flags";
import { listAsked } from "@cdh/core/debug-files/asked";
import { listDebugFiles, type ListedFile } from "@cdh/core/debug-files/list";
import { factsOfStored } from "@cdh/core/debug-files/put";
import { CdhError, EXIT } from "@cdh/core/errors";
import { renderRows } from "@cdh/core/output";
import type { ObjectStore } from "@cdh/core/store/store";
import { formatBytes } from "@cdh/core/units";
import { readReferred, type Referred } from "../find/referred.ts";
import { parseTime } from "../text/parse-time.ts";
import { SymbolsCommand } from "./symbols-command.ts";
import { describeFiles, SYMBOL_COLUMNS } from "./symbols-ls.ts";

/** Remove the files of programs that no bundle refers to. */
export class SymbolsPruneCommand extends SymbolsCommand {
  static override paths = [["symbols", "prune"]];

  static override usage = Command.Usage({
    category: "Symbols",
    description: "remove from the store the programs and debug info that no bundle refers to",
    details: `
      A file is referred to while a bundle's manifest lists its build-id. What was stored within \`--older-than\` stays: CI pushes
      before anything crashes. Nothing is removed while a bundle does not say which files it needs (an older layout, a manifest that
      cannot be read), unless \`--ignore-silent\` is given.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when nothing was removed because of such bundles.
    `,
    examples: [["See what would go", "$0 symbols prune --store s3://cores --dry-run"]],
  });

  olderThan = defaultedFlag("--older-than", "TIME", "90d", "only files stored before: 90d, 2026-11-21");
  dryRun = Option.Boolean("--dry-run", false, { description: "only show what would be removed" });
  ignoreSilent = Option.Boolean("--ignore-silent", false, {
    description: "go on although bundles do not say which files they need",
  });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const before = parseTime(this.olderThan, this.context.clock.now());
    return this.withStore(async (store) => {
      const { stopSignal: signal } = this.context;
      const known = new Set<string>();
      const files: ListedFile[] = [];
      for await (const file of listDebugFiles(store, { signal })) files.push(file);
      const first = await readReferred(store, known, signal);
      if (this.#isSilent(first)) return EXIT.incomplete;
      const asked = await listAsked(store, signal);
      const old = files.filter(({ id, info }) => Math.max(info.modifiedAt, asked.get(id.buildId) ?? 0) < before);
      let unused = await withoutShared(store, files, old, first.buildIds, signal);
      const rows = await describeFiles(store, unused, signal);
      if (!this.dryRun && unused.length > 0) {
        // Crashes arrive meanwhile.
        const later = await readReferred(store, known, signal);
        if (this.#isSilent(later)) return EXIT.incomplete;
        unused = unused.filter(({ id }) => !later.buildIds.has(id.buildId));
        for (const { info } of unused) await store.delete(info.key, signal);
      }
      const kept = new Set(unused.map(({ info }) => info.key));
      const shown = rows.filter(({ key }) => kept.has(key));
      if (format !== "table" || shown.length > 0)
        this.context.stdout.write(renderRows(format, "files", shown, SYMBOL_COLUMNS));
      const bytes = formatBytes(shown.reduce((sum, { storedBytes }) => sum + storedBytes, 0));
      const verb = this.dryRun ? "would be removed" : "removed";
      this.warn(`${verb}: ${shown.length} of ${files.length} files, ${bytes}; ${first.bundles} bundles were read`);
      return EXIT.ok;
    });
  }

  #isSilent({ silent: { count, examples } }: Referred): boolean {
    if (count === 0) return false;
    const what = `${count} bundles do not say which files they need`;
    for (const example of examples) this.warn(example);
    this.warn(this.ignoreSilent ? what : `${what}: nothing is removed (--ignore-silent goes on)`);
    return !this.ignoreSilent;
  }
}

/** Leave out what is referred to, by bundles or by debug info that is. @throws {CdhError} the CDH_STORE family */
async function withoutShared(
  store: ObjectStore,
  all: readonly ListedFile[],
  candidates: readonly ListedFile[],
  referred: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<ListedFile[]> {
  const used = new Set(referred);
  for (const { id, info } of all) {
    if (id.role !== "debuginfo" || !referred.has(id.buildId)) continue;
    const shown = await store.head(info.key, signal);
    if (shown === undefined) throw new CdhError("CDH_STORE", `${info.key} went away while it was looked at`);
    const { sharedBuildId } = factsOfStored(shown);
    if (sharedBuildId !== undefined) used.add(sharedBuildId);
  }
  return candidates.filter(({ id }) => !used.has(id.buildId));
}
