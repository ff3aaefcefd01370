import { utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, Option } from "clipanion";
import type { CoreReader } from "@cdh/core/bundle/core-layout";
import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import type { BundleEntry } from "@cdh/core/bundle/reader";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag, listFlag, textFlag } from "@cdh/core/cli/flags";
import { CdhError, EXIT } from "@cdh/core/errors";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { printable, stringifyJson, type OutputFormat } from "@cdh/core/output";
import { startProgress } from "@cdh/core/progress";
import { PLAIN } from "@cdh/core/report/paint";
import { renderText } from "@cdh/core/report/text";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { refuseMissing } from "../debug/find-files.ts";
import { writeOffline, type WrittenOffline } from "../debug/write-offline.ts";
import { writeAsTar } from "../debug/write-tar.ts";
import type { OpenedFile } from "../read/opened-file.ts";
import { makeReport } from "../read/report.ts";
import { asOperand, shellQuote } from "../text/shell-quote.ts";
import { targetPaths } from "../unpack/target-path.ts";
import { unpackCore, unpackEntry, type UnpackedFile } from "../unpack/unpack.ts";
import { InspectCommand, SYMBOLS_HELP } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Lines of each log in the report of a directory for offline use. */
const REPORT_LOG_LINES = 100;

/** Write a bundle's entries to files. */
export class UnpackCommand extends InspectCommand {
  static override paths = [["unpack"]];

  static override usage = Command.Usage({
    category: "Take out",
    description: "write a bundle's entries to files, the core decompressed",
    details: `
      ${BUNDLE_HELP}

      Writes all entries, or those chosen with \`--entry\` (\`core\` means the core), below DIR, which defaults to the
      current directory. The core is decompressed in parallel, checked against its SHA-256, and written with holes where
      it is zero. A file has its name only when it is whole. After an interruption the same command goes on where it was;
      what is there already and is the same is left as it is.

      With \`--with-binaries\` it writes a directory that any gdb opens offline instead: the core, the program and libraries by their paths
      below \`sysroot\`, debug info below \`debug\`, \`gdbinit\` (\`gdb -nx -x gdbinit\` in it), VS Code's \`launch.json\`, and the
      report. The files come from where \`debug\` takes them. \`--tar\` writes the same as one file for a colleague.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when \`--with-binaries\` did not find every file.
    `,
    examples: [
      ["Everything into a new directory", "$0 unpack crash.zip ./crash"],
      ["Only the core, out of a bucket", "$0 unpack s3://cores/payments/3f2a --entry core"],
      ["For a colleague without access", "$0 unpack --with-binaries s3://cores/payments/3f2a --tar crash.tar.gz"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  directory = Option.String({ required: false, name: "DIR" });
  entries = listFlag("--entry", "ENTRY", "an entry's name, any part of it that fits one, or `core`; may be repeated");
  force = Option.Boolean("--force", false, { description: "replace files that are there already" });
  withBinaries = Option.Boolean("--with-binaries", false, {
    description: "a directory that any gdb opens offline: core, program, libraries, debug info",
  });
  tar = textFlag("--tar", "FILE", "with --with-binaries: write it as a tar, compressed as the name says (.gz, .zst)");
  exe = textFlag("--exe", "FILE", "with --with-binaries: the crashed program's file");
  sysroot = textFlag("--sysroot", "DIR", "with --with-binaries: directory with the root file system that it ran in");
  symbols = listFlag("--symbols", "STORE", SYMBOLS_HELP);
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    if (this.withBinaries) return await this.#writeOffline(format);
    if (this.tar !== undefined) throw new CdhError("CDH_CONFIG_INVALID", "--tar goes with --with-binaries");
    await this.#writeEntries(format);
    return EXIT.ok;
  }

  async #writeOffline(format: OutputFormat): Promise<number> {
    if (this.entries.length > 0 || (this.tar !== undefined && this.directory !== undefined))
      throw new CdhError("CDH_CONFIG_INVALID", "--with-binaries writes all of it, to DIR or to --tar FILE");
    await refuseMissing(this);
    return await this.withOpened(this.bundle, async (opened) => {
      const { context, exe, sysroot, tar } = this;
      const wishes = { exe, sysroot, symbols: this.symbolsOf(opened, this.symbols) };
      const report = renderText(await makeReport(opened, REPORT_LOG_LINES), PLAIN, context.clock.now());
      const write = async (directory: string): Promise<WrittenOffline> => {
        await refuseTooLarge(dirname(directory), opened.manifest.core.sizeBytes);
        return await writeOffline(opened, directory, wishes, { force: this.force, report }, context);
      };
      const done =
        tar === undefined
          ? await write(this.directory ?? "crash")
          : await writeAsTar(tar, { force: this.force, signal: context.stopSignal }, write);
      for (const note of [...done.notes, ...done.missing.map((file) => `not found: ${file}`)]) this.warn(note);
      if (format !== "table")
        this.write(
          `${stringifyJson({ path: tar ?? this.directory ?? "crash", ...done }, format === "json" ? 2 : undefined)}\n`,
        );
      else {
        const { files, debugFiles, core } = done;
        this.say(
          `${tar ?? this.directory ?? "crash"}  core of ${formatBytes(core.sizeBytes)}, ${files} files, debug info of ${debugFiles}`,
        );
        this.say(
          tar === undefined
            ? `cd ${shellQuote(asOperand(this.directory ?? "crash"))} && gdb -nx -x gdbinit`
            : "unpacked anywhere: gdb -nx -x gdbinit",
        );
      }
      return done.missing.length + done.notes.length === 0 ? EXIT.ok : EXIT.incomplete;
    });
  }

  async #writeEntries(format: OutputFormat): Promise<void> {
    await this.withOpened(this.bundle, async (opened) => {
      const started = this.context.clock.monotonic();
      const directory = this.directory ?? ".";
      const files: UnpackedFile[] = [];
      const coreEntry = opened.bundle === undefined ? undefined : findCoreEntry(opened.bundle, opened.manifest);
      const { entries, withCore } = this.#choose(opened, coreEntry);
      const nameOf = (entry: BundleEntry): string => (entry === coreEntry ? decompressedName(entry.name) : entry.name);
      const paths = targetPaths(directory, (opened.bundle?.entries ?? []).map(nameOf));
      for (const entry of entries) {
        const path = paths.get(nameOf(entry));
        if (opened.bundle === undefined || path === undefined) break;
        files.push(await unpackEntry(opened.bundle, entry, path, this.#options()));
      }
      if (withCore) {
        const core = await opened.core();
        const name = coreEntry === undefined ? plainName(core.name) : nameOf(coreEntry);
        const path = paths.get(name) ?? targetPaths(directory, [name]).get(name) ?? name;
        files.push(await this.#unpackCore(opened, core, directory, path));
      }
      const tookMs = this.context.clock.monotonic() - started;
      if (format === "json") this.write(`${stringifyJson({ files, durationMs: Math.round(tookMs) }, 2)}\n`);
      else if (format === "jsonl") this.write(files.map((file) => `${stringifyJson(file)}\n`).join(""));
      else this.#tell(files, tookMs);
    });
  }

  #options(): { force: boolean; signal: AbortSignal } {
    return { force: this.force, signal: this.context.stopSignal };
  }

  #choose(opened: OpenedFile, coreEntry: BundleEntry | undefined): { entries: BundleEntry[]; withCore: boolean } {
    const all = opened.bundle?.entries ?? [];
    if (this.entries.length === 0)
      return {
        entries: all.filter((entry) => entry !== coreEntry),
        withCore: opened.bundle === undefined || coreEntry !== undefined,
      };
    const entries = new Set<BundleEntry>();
    let withCore = false;
    for (const wanted of this.entries) {
      const found = wanted === "core" ? coreEntry : findEntry(all, wanted);
      if (wanted === "core" && (found !== undefined || opened.bundle === undefined)) withCore = true;
      else if (found === undefined) throw noSuchEntry(opened, wanted);
      else if (found === coreEntry) withCore = true;
      else entries.add(found);
    }
    return { entries: [...entries], withCore };
  }

  async #unpackCore(opened: OpenedFile, core: CoreReader, directory: string, path: string): Promise<UnpackedFile> {
    await refuseTooLarge(directory, core.sizeBytes);
    const progress = startProgress(this.context.stderr, this.context.clock, "core", core.sizeBytes);
    try {
      const unpacked = await unpackCore(core, path, {
        ...this.#options(),
        sha256: opened.manifest.core.sha256,
        onProgress: progress.update,
      });
      // A core by itself has no other time, and this one must not look like a newer crash.
      const crashedAt = Date.parse(opened.manifest.crashedAt) / 1000;
      if (crashedAt > 0) await utimes(path, crashedAt, crashedAt).catch(() => {});
      return unpacked;
    } finally {
      progress.end();
    }
  }

  #tell(files: readonly UnpackedFile[], tookMs: number): void {
    for (const { path, sizeBytes, writtenBytes, resumedAtBytes, unchanged } of files) {
      if (unchanged === true) {
        this.say(`${printable(path)}  ${formatBytes(sizeBytes)}, there already`);
        continue;
      }
      const hasHoles = resumedAtBytes === undefined && sizeBytes - writtenBytes > sizeBytes / 20;
      const holes = hasHoles ? `, ${formatBytes(writtenBytes)} on disk` : "";
      const resumed = resumedAtBytes === undefined ? "" : `, gone on with at ${formatBytes(resumedAtBytes)}`;
      this.say(`${printable(path)}  ${formatBytes(sizeBytes)}${holes}${resumed}`);
    }
    const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    this.say(`${files.length} files, ${formatBytes(total)} in ${formatDuration(tookMs)}`);
  }
}

/** The name of a bundle's core once it is decompressed. */
function decompressedName(name: string): string {
  return name.replace(/\.zst$/, "");
}

/** The same of a core that is a file by itself. */
function plainName(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).replace(/\.(zst|gz|lz4|xz)$/, "");
}

/** Find an entry by its whole name, or by an end or a part of it that no other has. */
export function findEntry(entries: readonly BundleEntry[], wanted: string): BundleEntry | undefined {
  const exact = entries.find((entry) => entry.name === wanted);
  if (exact !== undefined) return exact;
  for (const test of [(name: string) => name.endsWith(wanted), (name: string) => name.includes(wanted)]) {
    const found = entries.filter((entry) => test(entry.name));
    if (found.length === 1) return found[0];
  }
  return undefined;
}

/** Say what can be asked for instead: the entries' names without what they all start with. */
export function noSuchEntry(opened: OpenedFile, wanted: string): CdhError {
  const prefix = `${opened.bundle?.name ?? ""}-`;
  const names = (opened.bundle?.entries ?? []).map(({ name }) =>
    name.startsWith(prefix) ? name.slice(prefix.length) : name,
  );
  const fitting = names.filter((name) => name.includes(wanted));
  return new CdhError(
    "CDH_NOT_FOUND",
    fitting.length > 1
      ? `${wanted} fits ${fitting.length} entries of ${opened.label}`
      : `no entry ${wanted} in ${opened.label}`,
    { hint: `one of ${["core", ...(fitting.length > 1 ? fitting : names)].slice(0, 40).join(", ")}` },
  );
}

/** A core cannot take more than its size; holes make it less, so only what could never fit is refused. */
async function refuseTooLarge(directory: string, sizeBytes: number | undefined): Promise<void> {
  const space = await tryMeasureSpace(directory);
  if (space === undefined || sizeBytes === undefined) return;
  const { totalBytes } = space;
  if (sizeBytes > totalBytes)
    throw new CdhError(
      "CDH_DISK",
      `cannot unpack ${formatBytes(sizeBytes)} to ${directory}: the file system has ${formatBytes(totalBytes)}`,
    );
}
