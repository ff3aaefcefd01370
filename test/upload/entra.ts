import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createTlsServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { KeyPair } from "../helpers/cluster-pki.ts";

export const TENANT = "11111111-2222-3333-4444-555555555555";
export const CLIENT = "66666666-7777-8888-9999-000000000000";

/** A token as the emulator believes it: it looks at times, audience and issuer, and at no signature. */
export function tokenFor(audience: string): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const issuer = `https://sts.windows.net/${TENANT}/`;
  const claims = {
    aud: audience,
    iss: issuer,
    iat: now,
    nbf: now - 60,
    exp: now + 3600,
    oid: CLIENT,
    tid: TENANT,
    ver: "1.0",
  };
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.c2ln`;
}

/** What the identity provider was sent, and what it answers. */
export interface Provider {
  server: Server;
  host: string;
  asked: URLSearchParams[];
  audience: string;
  refuse: boolean;
}

/** Start an identity provider: discovery and the token endpoint. */
export async function startProvider(pair: KeyPair): Promise<Provider> {
  const server = createTlsServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key) });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider: Provider = { server, host, asked: [], audience: "https://storage.azure.com", refuse: false };
  server.on("request", (incoming: IncomingMessage, outgoing) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
    incoming.on("end", () => {
      outgoing.setHeader("content-type", "application/json");
      if (incoming.method !== "POST") {
        const base = `${host}/${TENANT}`;
        return outgoing.end(
          JSON.stringify({
            issuer: `${base}/v2.0`,
            token_endpoint: `${base}/oauth2/v2.0/token`,
            authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
            end_session_endpoint: `${base}/oauth2/v2.0/logout`,
            jwks_uri: `${base}/discovery/v2.0/keys`,
          }),
        );
      }
      provider.asked.push(new URLSearchParams(body));
      if (provider.refuse) {
        outgoing.statusCode = 401;
        return outgoing.end(
          JSON.stringify({
            error: "invalid_client",
            error_description: "AADSTS700213: no matching federated identity",
          }),
        );
      }
      return outgoing.end(
        JSON.stringify({ token_type: "Bearer", expires_in: 3600, access_token: tokenFor(provider.audience) }),
      );
    });
  });
  return provider;
}

/** The metadata service of a machine in Azure, as far as it gives tokens. */
export interface Metadata extends AsyncDisposable {
  /** Requests so far; a look whether it is there has no `Metadata: true`. */
  asked: { query: URLSearchParams; isMarked: boolean }[];
  /** What it answers in place of a token. */
  answer: { status: number; body: object } | undefined;
}

/** Start a metadata service. @param socket where it listens, a path */
export async function startMetadata(socket: string): Promise<Metadata> {
  const server = createServer((incoming, outgoing) => {
    const { pathname, searchParams: query } = new URL(incoming.url ?? "", "http://metadata");
    const isMarked = incoming.headers["metadata"] === "true";
    metadata.asked.push({ query, isMarked });
    outgoing.setHeader("content-type", "application/json");
    const { status, body } =
      pathname === "/metadata/identity/oauth2/token" && isMarked
        ? (metadata.answer ?? { status: 200, body: tokenAnswer(query.get("resource") ?? "") })
        : {
            status: 400,
            body: { error: "invalid_request", error_description: "Required metadata header not specified" },
          };
    outgoing.writeHead(status).end(JSON.stringify(body));
  });
  const metadata: Metadata = {
    asked: [],
    answer: undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
  server.listen(socket);
  await once(server, "listening");
  return metadata;
}

function tokenAnswer(resource: string): object {
  const seconds = Math.floor(Date.now() / 1000);
  return {
    access_token: tokenFor(resource.replace(/\/$/, "")),
    client_id: CLIENT,
    expires_in: "3599",
    expires_on: String(seconds + 3599),
    not_before: String(seconds - 60),
    resource,
    token_type: "Bearer",
  };
}
