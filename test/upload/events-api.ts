import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { selfSign } from "../helpers/cluster-pki.ts";

/** A message that a listener got. */
export interface Message {
  method: string;
  url: string;
  headers: Record<string, unknown>;
  body: Record<string, unknown>;
}

/** A stand-in for the API server's Events, and what it was told. */
export interface EventsApi extends AsyncDisposable {
  events: Map<string, Record<string, unknown>>;
  messages: Message[];
  /** What a pod finds in its environment. */
  env: Record<string, string>;
  /** Answer everything with this status; undefined: as it should be. */
  refuseWith(status: number | undefined): void;
}

/** Read a request's JSON body. */
export async function readMessage(incoming: IncomingMessage): Promise<Message> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return {
    method: incoming.method ?? "",
    url: incoming.url ?? "",
    headers: incoming.headers,
    body: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>,
  };
}

/** A stand-in for the API server's Events, over TLS, as a pod finds it. Needs openssl. */
export async function startEventsApi(directory: string): Promise<EventsApi> {
  const account = join(directory, "account");
  await mkdir(account);
  await writeFile(join(account, "token"), "the-token\n");
  const pair = selfSign(account, "ca", "IP:127.0.0.1");
  const events = new Map<string, Record<string, unknown>>();
  const messages: Message[] = [];
  const state = { answer: undefined as number | undefined };
  const server = createHttpsServer(
    { key: readFileSync(pair.key), cert: readFileSync(pair.cert) },
    (incoming, outgoing) => {
      void readMessage(incoming).then((message) => {
        messages.push(message);
        if (state.answer !== undefined) {
          const body = JSON.stringify({ kind: "Status", message: "no, says the API server" });
          outgoing.writeHead(state.answer, { "content-type": "application/json" }).end(body);
          return;
        }
        const { name } = (message.body["metadata"] ?? {}) as { name?: string };
        const key = message.method === "POST" ? `${message.url}/${name}` : message.url;
        if (message.method === "POST") events.set(key, message.body);
        if (message.method === "PATCH") events.set(key, { ...events.get(key), ...message.body });
        const found = events.get(key);
        outgoing
          .writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" })
          .end(JSON.stringify(found ?? {}));
      });
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const env = {
    KUBERNETES_SERVICE_HOST: "127.0.0.1",
    KUBERNETES_SERVICE_PORT: String(port),
    KUBERNETES_SERVICE_ACCOUNT_DIR: account,
    NODE_NAME: "node-1",
    // Asking for pods is another suite's.
    POD_FACTS: "false",
  };
  return {
    events,
    messages,
    env,
    refuseWith: (status) => (state.answer = status),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
