import { once } from "node:events";
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** What a request to S3, Google Cloud Storage or Azure Blob Storage wants to do. */
export type Operation =
  | "head"
  | "get"
  | "list"
  | "put"
  | "delete"
  | "create"
  | "part"
  | "complete"
  | "abort"
  | "listUploads"
  | "listParts";

/** A request that passes through the proxy. */
export interface ProxiedRequest {
  operation: Operation;
  method: string;
  /** Decoded, starting with the bucket. */
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** How many requests of this operation came before. */
  nth: number;
}

/** What the proxy does with a request. */
export type Fault =
  | { kind: "pass" }
  /** Close the connection before anything is forwarded. */
  | { kind: "cutBefore" }
  /** Close it after so many bytes of the request's body. */
  | { kind: "cutInBody"; afterBytes: number }
  /** Let the server do its work, and close before its answer. */
  | { kind: "cutAfter" }
  /** Close it after so many bytes of the answer's body. */
  | { kind: "cutInAnswer"; afterBytes: number }
  /** Answer without asking the server. */
  | { kind: "answer"; status: number; body?: string; headers?: Record<string, string> }
  /** Send headers and then one byte every now and then, for ever. */
  | { kind: "endless"; headers?: Record<string, string> }
  /** Never answer. */
  | { kind: "silence" }
  /** Let the server answer, with other headers; undefined takes one away. */
  | { kind: "headers"; change: Record<string, string | undefined> }
  /** Do something, then pass. */
  | { kind: "first"; work: () => Promise<void> }
  /** Do the server's work differently and answer. */
  | {
      kind: "instead";
      work: (body: Buffer) => Promise<{ status: number; body: string; headers?: Record<string, string> }>;
    };

/** A proxy before an S3 server that does what the test tells it. */
export interface FaultProxy extends AsyncDisposable {
  endpoint: string;
  /** Decides about each request; changed while it runs. */
  decide: (seen: ProxiedRequest) => Fault;
  /** All requests so far, as `operation`. */
  readonly seen: ProxiedRequest[];
  /** How often a decision was something else than to pass. */
  faults(): number;
}

/** S3's way to say that something went wrong. */
export function errorXml(code: string, message = code): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>1</RequestId></Error>`;
}

/** Start a proxy before `target`. @param port where it listens; default: wherever there is room */
export async function startFaultProxy(target: string, port = 0): Promise<FaultProxy> {
  const upstream = new URL(target);
  const counts = new Map<Operation, number>();
  const seen: ProxiedRequest[] = [];
  const sockets = new Set<Socket>();
  let faults = 0;
  const server = createServer((incoming, outgoing) => {
    const proxied = classify(incoming, counts);
    seen.push(proxied);
    const fault = proxy.decide(proxied);
    if (fault.kind !== "pass") faults += 1;
    handle(upstream, fault, incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => ({ kind: "pass" }),
    seen,
    faults: () => faults,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}

function classify(incoming: IncomingMessage, counts: Map<Operation, number>): ProxiedRequest {
  const url = new URL(incoming.url ?? "/", "http://proxy");
  const method = incoming.method ?? "GET";
  const query = url.searchParams;
  const operation = operationOf(method, query);
  const nth = counts.get(operation) ?? 0;
  counts.set(operation, nth + 1);
  return { operation, method, path: decodeURIComponent(url.pathname), query, headers: incoming.headers, nth };
}

function operationOf(method: string, query: URLSearchParams): Operation {
  // Google's and Azure's names for the same.
  if (query.get("uploadType") === "resumable" && method === "POST") return "create";
  if (query.get("uploadType") === "multipart") return "put";
  if (query.has("upload_id")) return method === "DELETE" ? "abort" : "part";
  if (query.has("fields") && method === "GET") return query.has("maxResults") ? "list" : "head";
  const component = query.get("comp");
  if (component === "block") return "part";
  if (component === "blocklist") return method === "PUT" ? "complete" : "listParts";
  if (component === "list") return "list";
  if (query.has("uploads")) return method === "POST" ? "create" : "listUploads";
  if (query.has("partNumber")) return "part";
  if (query.has("uploadId")) return method === "POST" ? "complete" : method === "GET" ? "listParts" : "abort";
  if (method === "HEAD") return "head";
  if (method === "PUT") return "put";
  if (method === "DELETE") return "delete";
  return query.has("list-type") ? "list" : "get";
}

async function handle(upstream: URL, fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  switch (fault.kind) {
    case "cutBefore":
      incoming.socket.destroy();
      return;
    case "answer":
      await drain(incoming);
      send(outgoing, fault.status, incoming.method === "HEAD" ? "" : (fault.body ?? ""), fault.headers);
      return;
    case "silence":
      incoming.resume();
      return;
    case "endless":
      await drain(incoming);
      outgoing.writeHead(200, { "content-type": "application/xml", ...fault.headers });
      trickle(outgoing);
      return;
    case "instead": {
      const answer = await fault.work(await readBody(incoming));
      send(outgoing, answer.status, answer.body, answer.headers);
      return;
    }
    case "first":
      await fault.work();
      break;
    default:
  }
  forward(upstream, fault, incoming, outgoing);
}

function forward(upstream: URL, fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const onward = request(
    {
      host: upstream.hostname,
      port: upstream.port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
      agent: false,
    },
    (answer) => {
      if (fault.kind === "cutAfter") {
        incoming.socket.destroy();
        answer.destroy();
        return;
      }
      const headers = { ...answer.headers, ...(fault.kind === "headers" ? fault.change : {}) };
      for (const name of Object.keys(headers)) if (headers[name] === undefined) delete headers[name];
      outgoing.writeHead(answer.statusCode ?? 502, headers);
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        if (fault.kind !== "cutInAnswer") {
          outgoing.write(chunk);
          return;
        }
        const left = fault.afterBytes - bytes;
        bytes += chunk.length;
        if (left > 0) outgoing.write(chunk.subarray(0, left));
        if (bytes >= fault.afterBytes) setImmediate(() => incoming.socket.destroy());
      });
      answer.on("end", () => outgoing.end());
      answer.on("error", () => incoming.socket.destroy());
    },
  );
  onward.on("error", () => incoming.socket.destroy());
  let bytes = 0;
  incoming.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (fault.kind === "cutInBody" && bytes >= fault.afterBytes) {
      incoming.socket.destroy();
      onward.destroy();
      return;
    }
    if (!onward.write(chunk)) {
      incoming.pause();
      onward.once("drain", () => incoming.resume());
    }
  });
  incoming.on("end", () => onward.end());
  incoming.on("error", () => onward.destroy());
  incoming.on("close", () => {
    if (!incoming.complete) onward.destroy();
  });
}

function send(outgoing: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  outgoing.writeHead(status, {
    "content-type": "application/xml",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  outgoing.end(body);
}

function trickle(outgoing: ServerResponse): void {
  const timer = setInterval(() => outgoing.write(" "), 50);
  outgoing.on("close", () => clearInterval(timer));
}

async function drain(incoming: IncomingMessage): Promise<void> {
  incoming.resume();
  if (!incoming.complete) await once(incoming, "end");
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
