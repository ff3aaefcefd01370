import { CdhCommand } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { printable } from "@cdh/core/output";
import type { ObjectStore } from "@cdh/core/store/store";
import { openBucket } from "../find/bucket.ts";
import { storeUrlOf } from "../find/symbol-places.ts";

/** Base of the commands that look after the files of programs in a store. */
export abstract class SymbolsCommand extends CdhCommand {
  storeUrl = textFlag("--store", "URL", "the store: s3://, gs://, azblob://, file:/// or a directory; STORE_URL");

  /** Do something with the store, and close it whatever happens. @throws {CdhError} CDH_CONFIG_INVALID */
  protected async withStore<Result>(work: (store: ObjectStore) => Promise<Result>): Promise<Result> {
    const url = this.storeUrl ?? this.context.env["STORE_URL"] ?? "";
    if (url === "")
      throw new CdhError("CDH_CONFIG_INVALID", "no store is given", {
        hint: "--store s3://bucket/prefix, or STORE_URL",
      });
    const store = await openBucket(storeUrlOf(url), this.context);
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  }

  /** Tell a person something beside the result, on stderr. */
  protected warn(text: string): void {
    this.context.stderr.write(`${this.context.program}: ${printable(text)}\n`);
  }
}
