import { constants } from "node:fs";
import { mkdir, open, readdir, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";
import type { Owner, Waiter } from "./line-order.ts";

const NEW_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const LOOK_FLAGS = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** No node has as many composers; whatever else lies there is not looked at. */
const TICKETS_MAX = 1024;

/** A waiter by its ticket. */
export interface Ticket extends Waiter {
  fileName: string;
}

/**
 * Who waits for a slot: a file each, whose name says all and whose lock says that the waiter lives. Tickets of the dead
 * are removed by whoever would have to wait for them.
 */
export class Tickets {
  readonly #directory: string;
  readonly #native: Native;
  #mine: { ticket: Ticket; file: FileHandle } | undefined;
  #count = 0;

  constructor(coreDir: string, native: Native) {
    this.#directory = join(coreDir, STATE_DIRECTORY, "line");
    this.#native = native;
  }

  /** This process's own ticket. */
  get mine(): Ticket | undefined {
    return this.#mine?.ticket;
  }

  /**
   * Begin to wait. @param since epoch milliseconds
   * @throws what the file system throws
   */
  async draw(owner: Owner, since: number): Promise<void> {
    await this.drop();
    this.#count += 1;
    const time = Math.max(0, Math.floor(since)).toString(16).padStart(12, "0");
    const fileName = `${time}.${owner.group}.${owner.member}.${process.pid}-${this.#count}`;
    await mkdir(this.#directory, { recursive: true, mode: DIRECTORY_MODE });
    const file = await open(join(this.#directory, fileName), NEW_FLAGS, FILE_MODE);
    // Who looks just now may take it for a dead one's: then it is gone, and drawn again.
    this.#native.tryLock(file.fd);
    this.#mine = { ticket: { ...owner, since, fileName }, file };
  }

  /** End to wait. */
  async drop(): Promise<void> {
    const mine = this.#mine;
    if (mine === undefined) return;
    this.#mine = undefined;
    await unlink(join(this.#directory, mine.ticket.fileName)).catch(() => {});
    await mine.file.close().catch(() => {});
  }

  /** List who waits, whoever waits longest first. */
  async list(): Promise<Ticket[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const tickets: Ticket[] = [];
    for (const fileName of names.sort().slice(0, TICKETS_MAX)) {
      const match = /^([0-9a-f]{12})\.([0-9a-f]{12})\.([0-9a-f]{12})\.\d+-\d+$/.exec(fileName);
      const [, time = "", group = "", member = ""] = match ?? [];
      if (match !== null) tickets.push({ fileName, since: Number.parseInt(time, 16), group, member });
    }
    return tickets;
  }

  /** Remove a ticket whose waiter is dead. @returns whether it was one */
  async removeDead(ticket: Ticket): Promise<boolean> {
    const path = join(this.#directory, ticket.fileName);
    const file = await open(path, LOOK_FLAGS).catch(() => undefined);
    if (file === undefined) return true;
    try {
      if (!this.#native.tryLock(file.fd)) return false;
      await unlink(path).catch(() => {});
      return true;
    } finally {
      await file.close().catch(() => {});
    }
  }
}
