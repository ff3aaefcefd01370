import { Command, Option } from "clipanion";
import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import { EXIT_STATUS_HELP, isTerminal } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { CoreMemory } from "@cdh/core/elf/random-access";
import { CdhError } from "@cdh/core/errors";
import { formatBytes } from "@cdh/core/units";
import type { OpenedFile } from "../read/opened-file.ts";
import { hexdump } from "../text/hexdump.ts";
import { parseRange, type Range } from "../text/parse-range.ts";
import { writeSafely } from "../text/safe-output.ts";
import { InspectCommand } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";
import { findEntry, noSuchEntry } from "./unpack.ts";

const PIECE_BYTES = 1024 * 1024;
/** A range of an ordinary entry is cut out of the whole. */
const ENTRY_MAX_BYTES = 64 * 1024 * 1024;

/** Print an entry, or a part of the core. */
export class CatCommand extends InspectCommand {
  static override paths = [["cat"]];

  static override usage = Command.Usage({
    category: "Take out",
    description: "one entry to stdout, or a part of the core",
    details: `
      ${BUNDLE_HELP}

      ENTRY is a name, any part of it that only one entry has, or \`core\`, which comes decompressed. Of the core a part can
      be asked for, by its offset in the file or by an address of the process; only the frames it lies in are read. On a
      terminal such a part is shown as a hex dump, and the whole core only with --hex.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 12 when the core holds nothing at the address.
    `,
    examples: [
      ["The memory map of the process", "$0 cat crash.zip proc/maps"],
      ["256 bytes at an address", "$0 cat crash.zip core --address 0x7ffd1000+256"],
      ["The core's ELF header, from a bucket", "$0 cat s3://cores/payments/3f2a core --range 0+64 --hex"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  entry = Option.String({ name: "ENTRY" });
  range = textFlag("--range", "RANGE", "START+LENGTH or START-END in the entry: 0+64Ki, 0x1000-0x2000");
  address = textFlag("--address", "ADDRESS", "the same by an address of the process: 0x7ffd1000+256");
  hex = Option.Boolean("--hex", { description: "a hex dump (default on a terminal for parts of the core)" });

  override async run(): Promise<void> {
    const range = this.range === undefined ? undefined : parseRange(this.range);
    const address = this.address === undefined ? undefined : parseRange(this.address);
    if (range !== undefined && address !== undefined)
      throw new CdhError("CDH_CONFIG_INVALID", "--range and --address exclude each other");
    await this.withOpened(this.bundle, async (opened) => {
      const coreEntry = opened.bundle === undefined ? undefined : findCoreEntry(opened.bundle, opened.manifest);
      const entry = this.entry === "core" ? coreEntry : findEntry(opened.bundle?.entries ?? [], this.entry);
      const isCore =
        (this.entry === "core" && opened.bundle === undefined) || (entry !== undefined && entry === coreEntry);
      if (isCore) return this.#printCore(opened, range, address);
      if (entry === undefined || opened.bundle === undefined) throw noSuchEntry(opened, this.entry);
      if (address !== undefined) throw new CdhError("CDH_CONFIG_INVALID", "--address is for the core");
      if (range === undefined && this.hex !== true) {
        return writeSafely(
          this.context.stdout,
          opened.bundle.stream(entry, { signal: this.context.stopSignal }),
          this.context.stopSignal,
        );
      }
      const bytes = await opened.bundle.read(entry, { maxBytes: ENTRY_MAX_BYTES });
      const start = range === undefined ? 0n : range.start;
      return this.#print(sliceOf(bytes, range), start);
    });
  }

  async #printCore(
    opened: OpenedFile,
    range: Range<bigint> | undefined,
    address: Range<bigint> | undefined,
  ): Promise<void> {
    const core = await opened.core();
    const { stopSignal } = this.context;
    if (address !== undefined) {
      const memory = new CoreMemory(await opened.facts(), (offset, length) => core.read(offset, length, stopSignal));
      await this.#print(memoryPieces(memory, address), address.start);
      return;
    }
    if (range === undefined && this.hex === undefined && isTerminal(this.context.stdout)) {
      const size = core.sizeBytes === undefined ? "" : ` of ${formatBytes(core.sizeBytes)}`;
      throw new CdhError("CDH_CONFIG_INVALID", `a whole core${size} is not for a terminal`, {
        hint: "take a part (--range 0+4Ki), redirect it (> core), or say --hex",
      });
    }
    const start = range === undefined ? 0n : range.start;
    if (start > BigInt(Number.MAX_SAFE_INTEGER)) throw new CdhError("CDH_NOT_FOUND", `the core has no byte ${start}`);
    await this.#print(
      corePieces((offset, length) => core.read(offset, length, stopSignal), Number(start), range?.length),
      start,
    );
  }

  async #print(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, start: bigint): Promise<void> {
    const { stdout, stopSignal } = this.context;
    if (this.hex === true || (this.hex === undefined && isTerminal(stdout))) {
      let at = start;
      for await (const piece of pieces) {
        this.write(hexdump(piece, at));
        at += BigInt(piece.length);
      }
      return;
    }
    await writeSafely(stdout, pieces, stopSignal);
  }
}

function sliceOf(bytes: Buffer, range: Range<bigint> | undefined): Buffer[] {
  if (range === undefined) return [bytes];
  const start = Number(range.start);
  return [bytes.subarray(start, range.length === undefined ? undefined : start + range.length)];
}

type Read = (offset: number, length: number) => Promise<Buffer>;

async function* corePieces(read: Read, start: number, length: number | undefined): AsyncGenerator<Buffer> {
  let offset = start;
  for (let left = length ?? Number.MAX_SAFE_INTEGER; left > 0;) {
    const bytes = await read(offset, Math.min(left, PIECE_BYTES));
    if (bytes.length === 0) return;
    yield bytes;
    offset += bytes.length;
    left -= bytes.length;
  }
}

async function* memoryPieces(memory: CoreMemory, range: Range<bigint>): AsyncGenerator<Uint8Array> {
  let address = range.start;
  for (let left = range.length ?? 256; left > 0;) {
    const bytes = await memory.read(address, Math.min(left, PIECE_BYTES));
    if (bytes === undefined || bytes.length === 0) {
      throw new CdhError("CDH_NOT_FOUND", `the core holds nothing at address 0x${address.toString(16)}`, {
        hint: "it was not mapped, or the kernel left it out (see coredump_filter in core(5))",
      });
    }
    yield bytes;
    address += BigInt(bytes.length);
    left -= bytes.length;
  }
}
