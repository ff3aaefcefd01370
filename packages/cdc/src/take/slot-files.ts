import { constants } from "node:fs";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";
import type { Owner, Slot } from "./line-order.ts";

const LOOK_FLAGS = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** What a slot's file holds is always so long, so that one write replaces it whole. */
const TEXT_BYTES = 64;

/** Open all of them or none, one after the other: a spool that hangs takes one thread. */
async function openAll(directory: string, count: number, flags: number): Promise<FileHandle[]> {
  const files: FileHandle[] = [];
  try {
    for (let index = 0; index < count; index += 1) {
      const file = await open(join(directory, String(index)), flags, FILE_MODE);
      files.push(file);
    }
    return files;
  } catch (error) {
    await Promise.all(files.map((file) => file.close().catch(() => {})));
    throw error;
  }
}

/**
 * The node's compression slots: files whose lock is the slot, so that the kernel frees it when its holder dies. What
 * stands in a file only tells whose it is; a holder that was killed is still named there until somebody takes the slot.
 */
export class SlotFiles {
  readonly #files: FileHandle[];
  readonly #native: Native;
  #mine: FileHandle | undefined;

  private constructor(files: FileHandle[], native: Native) {
    this.#files = files;
    this.#native = native;
  }

  /**
   * Open the files. They are there on a node that had a crash before; where they are not, they are made once others may take
   * inodes.
   * @param ready asked for and awaited before a file is made
   * @throws what the file system throws
   */
  static async open(coreDir: string, count: number, native: Native, ready: () => Promise<unknown>): Promise<SlotFiles> {
    const directory = join(coreDir, STATE_DIRECTORY, "slots");
    const there = await openAll(directory, count, LOOK_FLAGS).catch(() => undefined);
    if (there !== undefined) return new SlotFiles(there, native);
    await ready();
    await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    return new SlotFiles(await openAll(directory, count, LOOK_FLAGS | constants.O_CREAT), native);
  }

  /** Whether this process holds one. */
  get isHeld(): boolean {
    return this.#mine !== undefined;
  }

  /** Which one this process holds; -1 for none. */
  get index(): number {
    return this.#mine === undefined ? -1 : this.#files.indexOf(this.#mine);
  }

  /** Take any free slot, without waiting. */
  tryTake(): boolean {
    this.#mine ??= this.#files.find((file) => this.#native.tryLock(file.fd));
    return this.isHeld;
  }

  /** Write down whose slot this is, once it is known. @param now epoch milliseconds */
  async sign(owner: Owner, now: number): Promise<void> {
    if (this.#mine !== undefined) await writeText(this.#mine, `h ${owner.group} ${owner.member} ${now}`);
  }

  /** Give the slot back. */
  async release(): Promise<void> {
    const mine = this.#mine;
    if (mine === undefined) return;
    this.#mine = undefined;
    const text = (await readText(mine)).replace(/^h/, "f");
    await writeText(mine, text);
    this.#native.unlock(mine.fd);
  }

  /** Tell who has which slot. */
  async look(): Promise<Slot[]> {
    return await Promise.all(this.#files.map(async (file) => parseSlot(await readText(file))));
  }

  async close(): Promise<void> {
    this.#mine = undefined;
    await Promise.all(this.#files.splice(0).map((file) => file.close()));
  }
}

async function readText(file: FileHandle): Promise<string> {
  const bytes = Buffer.alloc(TEXT_BYTES);
  const { bytesRead } = await file.read(bytes, 0, TEXT_BYTES, 0);
  return bytes.toString("latin1", 0, bytesRead).trimEnd();
}

async function writeText(file: FileHandle, text: string): Promise<void> {
  await file.write(Buffer.from(text.slice(0, TEXT_BYTES).padEnd(TEXT_BYTES), "latin1"), 0, TEXT_BYTES, 0);
}

function parseSlot(text: string): Slot {
  const match = /^([hf]) ([0-9a-f]{12}) ([0-9a-f]{12}) (\d{1,15})$/.exec(text);
  if (match === null) return { owner: undefined, isHeld: false, takenAt: 0 };
  const [, state, group = "", member = "", takenAt] = match;
  return { owner: { group, member }, isHeld: state === "h", takenAt: Number(takenAt) };
}
