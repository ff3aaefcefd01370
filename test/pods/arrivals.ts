import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundleFile, type OpenBundle } from "../helpers/bundle-files.ts";
import { listKeys, s3Request } from "../helpers/s3-request.ts";
import type { S3Server } from "../helpers/s3-server.ts";
import { expectSoon } from "./soon.ts";

/** A bundle in the store. */
export interface Arrival {
  key: string;
  manifest: Manifest;
}

/** What has reached the store. */
export interface Arrivals {
  /** Every bundle that is complete there: its manifest is put last. */
  all(): Promise<Arrival[]>;
  /** Wait for a bundle. @throws {Error} after `timeoutMs`, with what is there instead */
  next(what: string, wanted: (manifest: Manifest) => boolean, timeoutMs?: number): Promise<Arrival>;
  /** Fetch a bundle and open it with third-party readers. */
  open(arrival: Arrival): Promise<OpenBundle>;
}

/** Look at the store with other eyes than the uploader's. */
export function watchArrivals(s3: S3Server, scratch: string, explain: () => Promise<string>): Arrivals {
  const seen = new Map<string, Arrival>();
  const fetch = async (key: string): Promise<Buffer> => {
    const answer = await s3Request(s3, "GET", `/${s3.bucket}/${key}`);
    if (!answer.ok) throw new Error(`GET ${key}: ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  const all = async (): Promise<Arrival[]> => {
    for (const name of (await listKeys(s3, s3.bucket)).keys()) {
      if (!name.endsWith(".manifest.json") || seen.has(name)) continue;
      const manifest = JSON.parse((await fetch(name)).toString("utf8")) as Manifest;
      seen.set(name, { key: name.replace(/\.manifest\.json$/, ".zip"), manifest });
    }
    return [...seen.values()];
  };
  return {
    all,
    next: (what, wanted, timeoutMs = 30_000) =>
      expectSoon(what, async () => (await all()).find(({ manifest }) => wanted(manifest)), {
        timeoutMs,
        explain: async () => `${(await all()).map(({ key }) => key).join("\n")}\n${await explain()}`,
      }),
    open: async ({ key }) => {
      const path = join(scratch, key.replaceAll("/", "_"));
      writeFileSync(path, await fetch(key));
      return openBundleFile(path);
    },
  };
}
