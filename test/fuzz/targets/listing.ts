import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as fc from "fast-check";
import { systemClock } from "@cdh/core/clock";
import { resolveSettings } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { around, hostileText } from "../grammar/text.ts";
import { defineTarget, must, orRefused } from "../target.ts";

/** One answer to a listing. */
interface Page {
  status: number;
  key: string;
  keys: number;
  size: string;
  /** What the answer says about more: the token that it came by, a new one, none, or nothing. */
  more: "same" | "new" | "empty" | "no";
  /** Blanks inside of the document, in bytes. */
  padding: number;
  torn: boolean;
}

/** More questions than this for the few pages that there are is a listing without end. */
const REQUESTS_MAX = 200;

/** Listings of a store that is hostile or broken. They end, in bounded memory, with keys below the prefix. */
export const listingTarget = defineTarget({
  name: "listing",
  what: "S3 listings: tokens that repeat, pages without end, odd keys, torn XML",
  recipes: fc.array(
    fc.record({
      status: fc.constantFrom(200, 200, 200, 200, 301, 400, 403, 500, 503),
      key: hostileText,
      keys: around(1, 1000, 100_000),
      size: fc.constantFrom("1", "-1", "1e400", "", "x", "18446744073709551616"),
      more: fc.constantFrom("same" as const, "new" as const, "empty" as const, "no" as const),
      padding: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, around(1_000_000, 300_000_000)),
      torn: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true)),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  build: (pages) => pages,
  run: async (pages) => {
    let requests = 0;
    const server = createServer((request, response) => {
      request.resume();
      requests += 1;
      const page = pages[Math.min(requests, pages.length) - 1];
      if (page === undefined || requests > REQUESTS_MAX) return void response.destroy();
      const token = new URL(request.url ?? "/", "http://x").searchParams.get("continuation-token") ?? "first";
      response.writeHead(page.status, { "content-type": "application/xml" });
      response.on("error", () => undefined);
      const [head, tail] = write(page, token, requests, pages.length);
      response.write(head);
      void pad(response, page.padding).then(() => response.end(tail));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as AddressInfo;
      const env = {
        STORE_URL: "s3://cores",
        S3_ENDPOINT: `http://127.0.0.1:${port}`,
        S3_ACCESS_KEY: "a",
        S3_SECRET: "b",
        STORE_TIMEOUT: "10s",
      };
      const { values } = resolveSettings(storeSettings, { env });
      const store = await openStore(values, { clock: systemClock, env: {} });
      let objects = 0;
      await orRefused(async () => {
        for await (const { key } of store.list("shop/", { signal: AbortSignal.timeout(30_000) })) {
          objects += 1;
          must(typeof key === "string", "a key that is no text");
        }
      });
      must(requests <= REQUESTS_MAX, "a listing without end");
      must(objects <= REQUESTS_MAX * 100_001, `${objects} objects`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  },
});

function write(page: Page, token: string, request: number, pages: number): [string, string] {
  const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const more = request >= pages && page.more === "new" ? "no" : page.more;
  const next = { same: escape(token), new: `token-${request}`, empty: "", no: undefined }[more];
  const truncated = more !== "no";
  const object = (index: number): string =>
    `<Contents><Key>shop/${escape(page.key)}${index}</Key><Size>${page.size}</Size><LastModified>2026-11-29T00:00:00Z</LastModified></Contents>`;
  const head = `<?xml version="1.0"?><ListBucketResult><Name>cores</Name><IsTruncated>${truncated}</IsTruncated>${Array.from({ length: page.keys }, (_, index) => object(index)).join("")}`;
  const tail = `${next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`}${page.torn ? "" : "</ListBucketResult>"}`;
  return [head, tail];
}

async function pad(
  response: {
    write(text: string): boolean;
    once(event: "drain" | "close", call: () => void): unknown;
    destroyed: boolean;
  },
  bytes: number,
): Promise<void> {
  const piece = " ".repeat(65_536);
  for (let left = bytes; left > 0 && !response.destroyed; left -= piece.length)
    if (!response.write(piece.slice(0, left)))
      await new Promise<void>((resolve) => {
        response.once("drain", resolve);
        response.once("close", resolve);
      });
}
