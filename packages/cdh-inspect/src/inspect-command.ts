import { CdhCommand } from "@cdh/core/cli";
import { printable } from "@cdh/core/output";
import type { ObjectStore } from "@cdh/core/store/store";
import { openBucket } from "./bucket.ts";
import { choosePaint, type Paint } from "./paint.ts";
import { findAll, findOne, type Found, type PlaceOpeners } from "./places.ts";
import { readSubject, type Subject } from "./subject.ts";

/** Base of every command that reads bundles. */
export abstract class InspectCommand extends CdhCommand {
  readonly #stores = new Map<string, Promise<ObjectStore>>();
  readonly #openers: PlaceOpeners = { bucket: (url) => this.#openBucket(url) };

  /** Find every bundle in a place. */
  findAll(place: string): Promise<Found[]> {
    return findAll(place, this.#openers, this.context.stopSignal);
  }

  /** Do something with the bundle that a person means, and close it whatever happens. */
  async withSubject<Result>(text: string, work: (subject: Subject) => Promise<Result>): Promise<Result> {
    const found = await findOne(text, this.#openers, this.context.stopSignal);
    const subject = await readSubject(await found.open(), {
      modifiedAt: found.modifiedAt,
      signal: this.context.stopSignal,
    });
    try {
      return await work(subject);
    } finally {
      await subject.close();
    }
  }

  /** Colours for stdout, or none. */
  paint(): Paint {
    return choosePaint(this.context);
  }

  /** Tell a person something beside the result, on stderr. */
  warn(text: string): void {
    this.context.stderr.write(`${this.context.program}: ${printable(text)}\n`);
  }

  /** Write a finished text to stdout. */
  write(text: string): void {
    this.context.stdout.write(text);
  }

  override async execute(): Promise<number> {
    try {
      return await super.execute();
    } finally {
      for (const store of this.#stores.values()) await store.then((opened) => opened.close()).catch(() => {});
    }
  }

  #openBucket(url: string): Promise<ObjectStore> {
    const known = this.#stores.get(url) ?? openBucket(url, this.context);
    this.#stores.set(url, known);
    return known;
  }
}
