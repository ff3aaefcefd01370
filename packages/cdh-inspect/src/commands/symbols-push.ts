import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { putFile, type PackedFile, type PutOutcome } from "@cdh/core/debug-files/put";
import { CdhError, EXIT } from "@cdh/core/errors";
import { openRegularFile } from "@cdh/core/files/regular-file";
import { renderRows, type Column } from "@cdh/core/output";
import { startProgress } from "@cdh/core/progress";
import type { ObjectStore } from "@cdh/core/store/store";
import { formatBytes } from "@cdh/core/units";
import { fileSource, tryExamineFile } from "../debug/file-source.ts";
import { planPush, type Examined } from "../debug/pushed-file.ts";
import { findFiles } from "../find/elf-files.ts";
import { SymbolsCommand } from "./symbols-command.ts";

type PushedFacts = Pick<PackedFile, "id" | "name" | "sharedBuildId" | "hasCode">;

interface Row {
  file: string;
  state: PutOutcome | "refused" | "wouldStore";
  buildId?: string;
  role?: string;
  sizeBytes?: number;
  reason?: string;
}

const WORDS: Record<Row["state"], string> = {
  stored: "stored",
  alreadyThere: "already there",
  other: "ANOTHER FILE IS THERE",
  refused: "REFUSED",
  wouldStore: "would be stored",
};

const COLUMNS: readonly Column<Row>[] = [
  { header: "STATE", value: ({ state }) => WORDS[state] },
  { header: "BUILD-ID", value: ({ buildId }) => buildId ?? "-" },
  { header: "AS", value: ({ role }) => role ?? "-" },
  {
    header: "SIZE",
    align: "right",
    value: ({ sizeBytes }) => (sizeBytes === undefined ? "-" : formatBytes(sizeBytes)),
  },
  { header: "FILE", value: ({ file, reason }) => (reason === undefined ? file : `${file}: ${reason}`) },
];

/** Put programs and their debug info into a store. */
export class SymbolsPushCommand extends SymbolsCommand {
  static override paths = [["symbols", "push"]];

  static override usage = Command.Usage({
    category: "Symbols",
    description: "put programs, libraries, .debug and .dwp files into the store, by build-id",
    details: `
      FILE is an ELF file, or a directory with some below it: a build's output. The build-id is read from the file itself. Crashes
      that are stored already show functions, files and lines at the next look.

      A file with code and debug info is kept once, and serves as both. \`app.dwp\` needs \`app\` beside it in the same push: it has no
      build-id. A file that is there stays, unless \`--replace\` is given; two pushes at once agree.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when the store keeps another file of a build-id, 16 when a file was refused.
    `,
    examples: [
      ["From CI", "$0 symbols push --store s3://cores build/"],
      ["A program and what was split from it", "$0 symbols push server server.debug"],
    ],
  });

  files = Option.Rest({ name: "FILE", required: 1 });
  replace = Option.Boolean("--replace", false, {
    description: "put them in the place of other files of these build-ids",
  });
  dryRun = Option.Boolean("--dry-run", false, { description: "only show what would be stored" });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const examined: (Examined & { isNamed: boolean })[] = [];
    for (const candidate of await findFiles(this.files)) {
      this.context.stopSignal.throwIfAborted();
      const contents = await tryExamineFile(candidate.path);
      // A build's folder holds much else.
      if (contents !== undefined || candidate.isNamed) examined.push({ ...candidate, contents });
    }
    const plans = planPush(examined);
    const rows = await this.withStore(async (store) => {
      const drafts = await mkdtemp(join(tmpdir(), "cdh-inspect-"));
      try {
        const done: Row[] = [];
        for (const [index, plan] of plans.entries()) {
          const { path: file, isNamed, contents } = examined[index] as (typeof examined)[number];
          const facts = {
            name: basename(file),
            sharedBuildId: contents?.sharedBuildId,
            hasCode: contents?.hasCode === true,
          };
          if ("id" in plan) done.push(await this.#push(store, file, { ...facts, id: plan.id }, join(drafts, "draft")));
          // Objects and plugins without a build-id are no mistake in a build's folder; a file that is cut short is.
          else if (isNamed || plan.refusal.startsWith("cut short"))
            done.push({ file, state: "refused", reason: plan.refusal });
        }
        return done;
      } finally {
        await rm(drafts, { recursive: true, force: true });
      }
    });
    if (rows.length === 0)
      throw new CdhError("CDH_NOT_FOUND", `no ELF file with a build-id in ${this.files.join(", ")}`);
    this.context.stdout.write(renderRows(format, "files", rows, COLUMNS));
    if (rows.some(({ state }) => state === "refused")) return EXIT.damaged;
    return rows.some(({ state }) => state === "other") ? EXIT.incomplete : EXIT.ok;
  }

  async #push(store: ObjectStore, file: string, facts: PushedFacts, draft: string): Promise<Row> {
    const { stderr, clock, stopSignal: signal } = this.context;
    const handle = await openRegularFile(file, { followLinks: true });
    const progress = startProgress(stderr, clock, basename(file), undefined);
    try {
      const source = fileSource(handle, (await handle.stat()).size);
      const row = { file, ...facts.id, sizeBytes: source.sizeBytes };
      if (this.dryRun) return { ...row, state: "wouldStore" };
      const options = { draft, signal, overwrite: this.replace, onProgress: progress.update };
      return { ...row, state: await putFile(store, { ...facts, source }, options) };
    } finally {
      progress.end();
      await handle.close();
    }
  }
}
