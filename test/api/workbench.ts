import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request, type RequestOptions } from "node:https";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Compression, Manifest } from "@cdh/core/bundle/manifest";
import { systemClock } from "@cdh/core/clock";
import type { ObjectStore } from "@cdh/core/store/store";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { composeBundle } from "../../packages/core/src/testing/compose-bundle.ts";
import { makeManifest, makeTinyCore, SAMPLE_NAME } from "../../packages/core/src/testing/sample-bundle.ts";
import { builtPath } from "../helpers/built.ts";
import type { KeyPair } from "../helpers/cluster-pki.ts";
import { freePort } from "../helpers/free-port.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { startStandIn, type StandIn } from "./stand-in.ts";

export const BASE = "/apis/core-dump-handler.dev/v1alpha1";
export const AUDIENCE = "core-dump-handler.dev";

/** An answer, read to its end. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

/** How a request is sent. */
export interface AskOptions {
  method?: string;
  token?: string;
  headers?: Record<string, string | string[]>;
  body?: unknown;
  /** A client certificate. */
  client?: KeyPair;
  /** Where it comes from, on loopback; another one is another client to the server. */
  from?: string;
}

/** A running cdh-api with its store and its stand-in for the cluster. */
export interface Workbench extends AsyncDisposable {
  readonly cluster: StandIn;
  readonly storeDir: string;
  readonly store: ObjectStore;
  readonly port: number;
  readonly metricsPort: number;
  readonly server: TiedChild;
  readonly tls: KeyPair;
  ask(path: string, options?: AskOptions): Promise<Answer>;
  /** Ask another server of the same cluster. */
  askAt(port: number): Workbench["ask"];
  /** Open a request and leave its body to the caller. */
  open(path: string, options?: AskOptions): Promise<IncomingMessage>;
  /** What the server logged, by message. */
  logged(msg: string): Record<string, unknown>[];
  metric(name: string): Promise<number>;
  /** Start another server at the same cluster and the same store; it ends before this one. */
  another(options?: ServerOptions): Promise<Workbench>;
}

/** How a server is started. */
export interface ServerOptions {
  env?: Record<string, string>;
  /** Whether to wait until it is ready; true when not said. */
  waits?: boolean;
  /** Path of another program than the built one. */
  program?: string;
}

/** What was put into the store. */
export interface PutDump {
  name: string;
  stem: string;
  core: Buffer;
  zip: Buffer;
  manifest: Manifest;
}

/** Put a dump into a store, as cdh-upload does. */
export async function putDump(
  store: ObjectStore,
  changes: Partial<Manifest> & {
    namespace?: string;
    coreBytes?: number;
    coreFile?: Buffer;
    compression?: Compression;
  } = {},
): Promise<PutDump> {
  const { namespace = "shop", coreBytes = 4096, coreFile, compression = "zstd", ...rest } = changes;
  const crashId = rest.crashId ?? randomUUID();
  const core = coreFile ?? makeTinyCore(coreBytes);
  const stem = `${namespace}/${crashId}-dump-1795249571-worker-server-1-11`;
  const plain = makeManifest(core, 0, {
    pod: {
      name: "web-0",
      namespace,
      uid: "11111111-2222-3333-4444-555555555555",
      owner: { kind: "StatefulSet", name: "web" },
    },
    identity: { source: "oci-config", verified: true },
    ...rest,
    crashId,
  });
  const manifest: Manifest = {
    ...plain,
    bundle: `${stem.split("/")[1]}.zip`,
    core: {
      ...plain.core,
      compression,
      ...(compression === "zstd" ? {} : { entry: `${SAMPLE_NAME}.core` }),
      ...rest.core,
    },
  };
  const { bytes: zip } = await composeBundle(core, compression, [
    { name: `${SAMPLE_NAME}-0.log`, bytes: Buffer.from("listening\nabout to fall over\n") },
    { name: `${SAMPLE_NAME}-manifest.json`, bytes: Buffer.from(JSON.stringify(manifest)) },
  ]);
  await store.putBytes(`${stem}.zip`, zip, { contentType: "application/zip" });
  await store.putBytes(`${stem}.manifest.json`, Buffer.from(`${JSON.stringify(manifest)}\n`));
  return { name: crashId, stem, core, zip, manifest };
}

/** Start everything, and wait until it is ready. */
export async function startWorkbench(
  directory: string,
  options: ServerOptions & { prepare?: (store: ObjectStore) => Promise<void> } = {},
): Promise<Workbench> {
  const cluster = await startStandIn(join(directory, "cluster"));
  const storeDir = join(directory, "store");
  mkdirSync(storeDir);
  const store = new DirectoryStore(storeDir, { clock: systemClock });
  await options.prepare?.(store);
  const tls = cluster.serverPair("cdh-api");
  const bench = await startServer({ cluster, storeDir, store, tls }, options);
  return {
    ...bench,
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

async function startServer(
  around: Pick<Workbench, "cluster" | "storeDir" | "store" | "tls">,
  options: ServerOptions,
): Promise<Workbench> {
  const { cluster, storeDir, tls } = around;
  const [port, metricsPort] = [await freePort(), await freePort()];
  const server = startTied(options.program ?? builtPath("cdh-api"), ["serve"], {
    env: {
      ...cluster.env,
      STORE_URL: `file://${storeDir}`,
      LISTEN_ADDR: `127.0.0.1:${port}`,
      METRICS_ADDR: `127.0.0.1:${metricsPort}`,
      TLS_CERT_FILE: tls.cert,
      TLS_KEY_FILE: tls.key,
      RIGHTS_CACHE: "0s",
      LOG_FORMAT: "json",
      ...options.env,
    },
  });
  let log = "";
  server.shell.stderr?.on("data", (text: string) => (log += text));
  let ended = false;
  void server.ended.then(() => (ended = true));
  const openAt = (at: number, path: string, ask: AskOptions = {}): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const body = ask.body === undefined ? undefined : JSON.stringify(ask.body);
      const wanted: RequestOptions = {
        host: "127.0.0.1",
        port: at,
        path,
        method: ask.method ?? "GET",
        ca: readFileSync(cluster.ca.cert),
        agent: false,
        ...(ask.from === undefined ? {} : { localAddress: ask.from }),
        headers: {
          ...(ask.token === undefined ? {} : { authorization: `Bearer ${ask.token}` }),
          ...(body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
          ...ask.headers,
        },
        ...(ask.client === undefined ? {} : { cert: readFileSync(ask.client.cert), key: readFileSync(ask.client.key) }),
      };
      const sent = request(wanted, resolve);
      sent.on("error", reject);
      sent.end(body);
    });
  const open = (path: string, asked?: AskOptions): Promise<IncomingMessage> => openAt(port, path, asked);
  const askAt =
    (at: number) =>
    async (path: string, asked: AskOptions = {}): Promise<Answer> => {
      const message = await openAt(at, path, asked);
      const chunks: Buffer[] = [];
      for await (const chunk of message) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      return {
        status: message.statusCode ?? 0,
        headers: message.headers,
        body,
        json: <T>() => JSON.parse(body.toString()) as T,
      };
    };
  const ask = askAt(port);
  const bench: Workbench = {
    ...around,
    port,
    metricsPort,
    server,
    another: (wanted = {}) => startServer(around, wanted),
    ask,
    askAt,
    open,
    logged: (msg) =>
      log
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter((line) => line["msg"] === msg),
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
      return Number(line?.split(" ").at(-1) ?? Number.NaN);
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
  if (options.waits === false) return bench;
  await expectSoon("cdh-api is ready", async () => {
    if (ended) throw new Error(`cdh-api ended:\n${server.output()}`);
    return (await ask("/readyz").catch(() => undefined))?.status === 200;
  });
  return bench;
}

/** Wait until something holds. */
export async function expectSoon(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await delay(25);
  }
}

/** Hash bytes. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
