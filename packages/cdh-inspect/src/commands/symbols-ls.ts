import { Command } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { toRfc3339 } from "@cdh/core/clock";
import { listDebugFiles, type ListedFile } from "@cdh/core/debug-files/list";
import { factsOfStored } from "@cdh/core/debug-files/put";
import { EXIT } from "@cdh/core/errors";
import { renderRows, type Column } from "@cdh/core/output";
import { formatMoment } from "@cdh/core/report/moment";
import type { ObjectStore } from "@cdh/core/store/store";
import { formatBytes } from "@cdh/core/units";
import { mapConcurrently } from "../concurrently.ts";
import { SymbolsCommand } from "./symbols-command.ts";

/** A stored file, as the tables and JSON show it. */
export interface SymbolRow {
  buildId: string;
  role: string;
  /** Of the file itself; absent where nobody said. */
  sizeBytes?: number;
  storedBytes: number;
  /** RFC 3339. */
  storedAt: string;
  name?: string;
  key: string;
}

/** Columns of {@link SymbolRow}. */
export const SYMBOL_COLUMNS: readonly Column<SymbolRow>[] = [
  { header: "BUILD-ID", value: ({ buildId }) => buildId },
  { header: "AS", value: ({ role }) => role },
  {
    header: "SIZE",
    align: "right",
    value: ({ sizeBytes }) => (sizeBytes === undefined ? "-" : formatBytes(sizeBytes)),
  },
  { header: "STORED", align: "right", value: ({ storedBytes }) => formatBytes(storedBytes) },
  { header: "SINCE (UTC)", value: ({ storedAt }) => formatMoment(storedAt) || "-" },
  { header: "NAME", value: ({ name }) => name ?? "-" },
];

/** Requests at the same time: a listing does not carry names. */
const AT_ONCE = 16;

/** Ask the store what listed files are. @throws {CdhError} the CDH_STORE family */
export async function describeFiles(
  store: ObjectStore,
  files: readonly ListedFile[],
  signal: AbortSignal,
): Promise<SymbolRow[]> {
  const rows = await mapConcurrently(files, AT_ONCE, async ({ id, info }) => {
    const shown = await store.head(info.key, signal);
    if (shown === undefined) return undefined; // removed meanwhile
    const { sizeBytes, name } = factsOfStored(shown);
    return {
      ...id,
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      storedBytes: info.sizeBytes,
      storedAt: toRfc3339(info.modifiedAt),
      ...(name === undefined ? {} : { name }),
      key: info.key,
    };
  });
  return rows.filter((row) => row !== undefined);
}

/** List the files of programs that a store keeps. */
export class SymbolsLsCommand extends SymbolsCommand {
  static override paths = [["symbols", "ls"]];

  static override usage = Command.Usage({
    category: "Symbols",
    description: "the programs and debug info in the store",
    details: `EXIT STATUS: ${EXIT_STATUS_HELP}.`,
    examples: [["All of a store", "$0 symbols ls --store s3://cores"]],
  });

  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const { stopSignal: signal } = this.context;
    const rows = await this.withStore(async (store) => {
      const files: ListedFile[] = [];
      for await (const file of listDebugFiles(store, { signal })) files.push(file);
      return describeFiles(store, files, signal);
    });
    if (format === "table" && rows.length === 0) this.context.stderr.write("no files of programs in this store\n");
    else this.context.stdout.write(renderRows(format, "files", rows, SYMBOL_COLUMNS));
    return EXIT.ok;
  }
}
