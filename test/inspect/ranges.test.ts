import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildCore } from "@cdh/core/testing/core-builder";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { publishSparse } from "../upload/sparse-bundle.ts";

const GB = 1000 ** 3;
/** Where a program header says how much of the file is its segment's: the second of a core, 64-bit. */
const SECOND_FILESZ_AT = 64 + 56 + 32;

interface Served {
  path: string;
  sizeBytes: number;
  name: string;
}

interface Ranges extends AsyncDisposable {
  endpoint: string;
  requests: string[];
  sentBytes(): number;
}

/** Serve one sparse file as Azure's and Google's services serve an object; nothing else lies there. */
async function serveRanges(served: Served): Promise<Ranges> {
  const requests: string[] = [];
  let sentBytes = 0;
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const url = new URL(incoming.url ?? "", "http://cloud");
    const range = String(incoming.headers["x-ms-range"] ?? incoming.headers.range ?? "");
    requests.push(`${incoming.method} ${url.pathname}${url.search} ${range}`);
    const dated = { etag: '"1"', "last-modified": new Date(0).toUTCString() };
    if (!decodeURIComponent(url.pathname).endsWith(`/${served.name}`)) {
      const error = { code: 404, message: "No such object", errors: [{ reason: "notFound" }] };
      const headers = { "x-ms-error-code": "BlobNotFound", "content-type": "application/json" };
      return void outgoing.writeHead(404, headers).end(JSON.stringify({ error }));
    }
    if (url.searchParams.has("fields")) {
      const shown = { name: served.name, size: String(served.sizeBytes), updated: new Date(0).toISOString() };
      const body = JSON.stringify({ ...shown, generation: "1" });
      return void outgoing.writeHead(200, { "content-type": "application/json" }).end(body);
    }
    const whole = { ...dated, "content-length": String(served.sizeBytes), "x-ms-blob-type": "BlockBlob" };
    if (incoming.method === "HEAD") return void outgoing.writeHead(200, whole).end();
    const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
    const start = from === "" ? served.sizeBytes - Number(to) : Number(from);
    const end = from === "" || to === "" ? served.sizeBytes - 1 : Math.min(Number(to), served.sizeBytes - 1);
    outgoing.writeHead(206, {
      ...whole,
      "content-length": String(end - start + 1),
      "content-range": `bytes ${start}-${end}/${served.sizeBytes}`,
    });
    const body = createReadStream(served.path, { start, end });
    body.on("data", (chunk) => (sentBytes += chunk.length));
    outgoing.on("close", () => body.destroy());
    body.pipe(outgoing);
  };
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    sentBytes: () => sentBytes,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const CLOUDS: [name: string, url: string, env: (endpoint: string) => Record<string, string>][] = [
  [
    "Azure",
    "azblob://cores",
    (endpoint) => ({
      AZURE_STORAGE_ACCOUNT: "account",
      AZURE_STORAGE_ENDPOINT: `${endpoint}/account`,
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
    }),
  ],
  ["Google", "gs://cores", (endpoint) => ({ STORAGE_EMULATOR_HOST: endpoint })],
];

describeUnless(notBuilt("cdh-inspect"), "cdh-inspect show of a bundle in a cloud", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "cdh-ranges-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  /** Publish a sparse bundle whose core has one segment up to its end. */
  async function publish(coreBytes: number): Promise<Served> {
    const head = Buffer.from(buildCore({ segments: [{ vaddr: 0x10_0000n, bytes: new Uint8Array(4096) }] }));
    head.writeBigUInt64LE(BigInt(coreBytes - 4096), SECOND_FILESZ_AT);
    head.writeBigUInt64LE(BigInt(coreBytes - 4096), SECOND_FILESZ_AT + 8);
    const { fileName, sizeBytes } = await publishSparse(directory, coreBytes, head);
    return { path: join(directory, fileName), sizeBytes, name: `_host/${fileName}` };
  }

  it.each(CLOUDS)("%s: 10 GB take as few requests as 12 MB, at most 8", async (_cloud, url, envOf) => {
    const counts: number[] = [];
    for (const coreBytes of [12e6, 10 * GB]) {
      const served = await publish(coreBytes);
      await using cloud = await serveRanges(served);
      const env = { PATH: process.env["PATH"] ?? "", HOME: directory, ...envOf(cloud.endpoint) };
      const result = await runBuilt("cdh-inspect", ["show", "-o", "json", `${url}/${served.name}`], { env });
      expect(result.exitCode, result.stderr).toBe(0);
      const report = JSON.parse(result.stdout) as {
        manifest: { core: { sizeBytes: number } };
        traffic: { bytes: number };
      };
      expect(report.manifest.core.sizeBytes).toBe(coreBytes);
      expect(report.traffic.bytes).toBeGreaterThan(4096);
      expect(cloud.requests.length, cloud.requests.join("\n")).toBeLessThanOrEqual(8);
      expect(cloud.sentBytes()).toBeLessThan(8 * 1024 ** 2);
      counts.push(cloud.requests.length);
    }
    expect(counts[1]).toBe(counts[0]);
  });
});
