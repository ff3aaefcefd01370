import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { tryParseBuildId } from "@cdh/core/debug-files/keys";
import { listDebugFiles, type ListedFile } from "@cdh/core/debug-files/list";
import { CdhError, EXIT } from "@cdh/core/errors";
import { renderRows } from "@cdh/core/output";
import { tryExamineFile } from "../debug/file-source.ts";
import { SymbolsCommand } from "./symbols-command.ts";
import { describeFiles, SYMBOL_COLUMNS } from "./symbols-ls.ts";

/** Tell what a store keeps of a build-id. */
export class SymbolsFindCommand extends SymbolsCommand {
  static override paths = [["symbols", "find"]];

  static override usage = Command.Usage({
    category: "Symbols",
    description: "what the store keeps of a build-id",
    details: `
      BUILD-ID is hexadecimal, as \`modules\` and \`show\` print it, or the path of a file that has one.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 12 when the store has nothing of it.
    `,
    examples: [
      ["By build-id", "$0 symbols find --store s3://cores 7c94252784df6156fb49d8d477eac4e7067f62da"],
      ["Of a program here", "$0 symbols find ./server"],
    ],
  });

  wanted = Option.String({ name: "BUILD-ID" });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const buildId = await this.#buildId();
    const { stopSignal: signal } = this.context;
    return this.withStore(async (store) => {
      const files: ListedFile[] = [];
      for await (const file of listDebugFiles(store, { buildId, signal })) files.push(file);
      if (files.length === 0)
        throw new CdhError("CDH_NOT_FOUND", `nothing of build-id ${buildId} in ${store.url}`, {
          hint: "cdh-inspect symbols push puts it there",
        });
      this.context.stdout.write(renderRows(format, "files", await describeFiles(store, files, signal), SYMBOL_COLUMNS));
      return EXIT.ok;
    });
  }

  async #buildId(): Promise<string> {
    const typed = tryParseBuildId(this.wanted);
    if (typed !== undefined) return typed;
    const contents = await tryExamineFile(this.wanted);
    const own = contents?.buildId === undefined ? undefined : tryParseBuildId(contents.buildId);
    if (own !== undefined) return own;
    throw new CdhError("CDH_CONFIG_INVALID", `${this.wanted}: neither a build-id nor an ELF file that has one`);
  }
}
