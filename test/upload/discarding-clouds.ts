import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a cloud that keeps nothing knows of an object. */
export interface KnownObject {
  sizeBytes: number;
  /** MD5 of the whole, where it came in one piece; of each block otherwise. */
  md5s: string[];
  metadata: Record<string, string>;
}

/** A cloud that takes objects of any size and keeps their hashes only: a disk of 10 GB is no part of what is measured. */
export interface DiscardingCloud extends AsyncDisposable {
  /** What `cdh-upload` needs to use it. */
  env: Record<string, string>;
  objects: Map<string, KnownObject>;
  /** Requests so far: `PUT comp=block` and the like. */
  requests: string[];
}

type Handler = (incoming: IncomingMessage, url: URL, outgoing: ServerResponse) => Promise<void>;

async function serve(handle: Handler, envOf: (endpoint: string) => Record<string, string>): Promise<DiscardingCloud> {
  const requests: string[] = [];
  const objects = new Map<string, KnownObject>();
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? "", "http://cloud");
    requests.push(`${incoming.method} ${url.pathname}${url.search}`);
    handle(incoming, url, outgoing).catch((error: unknown) => outgoing.writeHead(500).end(String(error)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    env: envOf(endpoint),
    objects,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Read a body, hash it, and forget it. */
async function discard(incoming: IncomingMessage): Promise<{ sizeBytes: number; md5: string }> {
  const md5: Hash = createHash("md5");
  let sizeBytes = 0;
  for await (const chunk of incoming) {
    md5.update(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
  }
  return { sizeBytes, md5: md5.digest("base64") };
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of incoming) text += String(chunk);
  return text;
}

/** Azure Blob Storage, as far as an upload needs it. Blocks whose MD5 is another are refused, as the service does. */
export async function startDiscardingAzure(): Promise<DiscardingCloud> {
  const staged = new Map<string, { sizeBytes: number; md5: string }>();
  const lists = new Map<string, string[]>();
  const refuse = (outgoing: ServerResponse, status: number, code: string): void =>
    void outgoing
      .writeHead(status, { "x-ms-error-code": code, "content-type": "application/xml" })
      .end(outgoing.req.method === "HEAD" ? undefined : `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`);
  const etag = '"0x8D"';
  const metadataOf = (incoming: IncomingMessage): Record<string, string> =>
    Object.fromEntries(
      Object.entries(incoming.headers).flatMap(([name, value]) =>
        name.startsWith("x-ms-meta-") ? [[name, String(value)]] : [],
      ),
    );
  const cloud: DiscardingCloud = await serve(
    async (incoming, url, outgoing) => {
      const { pathname } = url;
      const comp = url.searchParams.get("comp");
      const dated = { etag, "last-modified": new Date().toUTCString() };
      if (incoming.method === "PUT" && comp === "block") {
        const block = await discard(incoming);
        if (incoming.headers["content-md5"] !== block.md5) return refuse(outgoing, 400, "Md5Mismatch");
        staged.set(`${pathname} ${url.searchParams.get("blockid") ?? ""}`, block);
        return void outgoing.writeHead(201).end();
      }
      if (incoming.method === "PUT" && comp === "blocklist") {
        const ids = [...(await textOf(incoming)).matchAll(/<Latest>([^<]+)</g)].map(([, id]) => id ?? "");
        const blocks = ids.map((id) => staged.get(`${pathname} ${id}`));
        if (blocks.includes(undefined)) return refuse(outgoing, 400, "InvalidBlockList");
        lists.set(pathname, ids);
        cloud.objects.set(pathname, {
          sizeBytes: blocks.reduce((sum, block) => sum + (block?.sizeBytes ?? 0), 0),
          md5s: blocks.map((block) => block?.md5 ?? ""),
          metadata: metadataOf(incoming),
        });
        return void outgoing.writeHead(201, dated).end();
      }
      incoming.resume();
      const known = cloud.objects.get(pathname);
      if (known === undefined) return refuse(outgoing, 404, "BlobNotFound");
      if (comp === "blocklist") {
        const blocks = (lists.get(pathname) ?? []).map((id) => {
          const size = staged.get(`${pathname} ${id}`)?.sizeBytes ?? 0;
          return `<Block><Name>${id}</Name><Size>${size}</Size></Block>`;
        });
        const xml = `<?xml version="1.0" encoding="utf-8"?><BlockList><CommittedBlocks>${blocks.join("")}</CommittedBlocks></BlockList>`;
        return void outgoing.writeHead(200, { ...dated, "content-type": "application/xml" }).end(xml);
      }
      const headers = {
        ...dated,
        ...known.metadata,
        "content-length": String(known.sizeBytes),
        "x-ms-blob-type": "BlockBlob",
      };
      if (incoming.method !== "HEAD") return refuse(outgoing, 409, "NothingIsKept");
      return void outgoing.writeHead(200, headers).end();
    },
    (endpoint) => ({
      STORE_URL: "azblob://cores",
      AZURE_STORAGE_ACCOUNT: "account",
      AZURE_STORAGE_ENDPOINT: `${endpoint}/account`,
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
    }),
  );
  return cloud;
}

/** Google Cloud Storage, as far as an upload needs it. */
export async function startDiscardingGcs(): Promise<DiscardingCloud> {
  const begun = new Map<string, { name: string; metadata: Record<string, string> }>();
  const shown = (name: string, { sizeBytes, md5s, metadata }: KnownObject): string =>
    JSON.stringify({
      name,
      size: String(sizeBytes),
      updated: new Date().toISOString(),
      generation: "1",
      md5Hash: md5s[0],
      metadata,
    });
  const cloud: DiscardingCloud = await serve(
    async (incoming, url, outgoing) => {
      const json = (status: number, body: string, headers: Record<string, string> = {}): void =>
        void outgoing.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
      const uploadId = url.searchParams.get("upload_id");
      const keep = (name: string, known: KnownObject): void => {
        cloud.objects.set(name, known);
        json(200, shown(name, known));
      };
      if (uploadId !== null) {
        const { sizeBytes, md5 } = await discard(incoming);
        const { name, metadata } = begun.get(uploadId) ?? { name: "", metadata: {} };
        return keep(name, { sizeBytes, md5s: [md5], metadata });
      }
      if (incoming.method === "POST" && url.searchParams.get("uploadType") === "resumable") {
        const resource = JSON.parse(await textOf(incoming)) as { name?: string; metadata?: Record<string, string> };
        const id = String(begun.size + 1);
        const name = resource.name ?? url.searchParams.get("name") ?? "";
        begun.set(id, { name, metadata: resource.metadata ?? {} });
        return json(200, "{}", { location: `http://${incoming.headers.host}/upload?upload_id=${id}` });
      }
      if (incoming.method === "POST") {
        const [, head = "", body = ""] = (await textOf(incoming)).split(/\r\n--[^\r\n]+\r\n|^--[^\r\n]+\r\n/);
        const resource = JSON.parse(head.slice(head.indexOf("\r\n\r\n"))) as {
          name?: string;
          metadata?: Record<string, string>;
        };
        const content = body.slice(body.indexOf("\r\n\r\n") + 4).replace(/\r\n--[^\r\n]+--\s*$/, "");
        const md5 = createHash("md5").update(content).digest("base64");
        const name = resource.name ?? url.searchParams.get("name") ?? "";
        return keep(name, { sizeBytes: Buffer.byteLength(content), md5s: [md5], metadata: resource.metadata ?? {} });
      }
      incoming.resume();
      const name = decodeURIComponent(url.pathname.split("/o/")[1] ?? "");
      const known = cloud.objects.get(name);
      if (known === undefined)
        return json(404, JSON.stringify({ error: { code: 404, message: "none", errors: [{ reason: "notFound" }] } }));
      return json(200, shown(name, known));
    },
    (endpoint) => ({ STORE_URL: "gs://cores", STORAGE_EMULATOR_HOST: endpoint }),
  );
  return cloud;
}
