import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { issue, makeAuthority, type KeyPair } from "../helpers/cluster-pki.ts";
import { Leases, type Lease } from "./leases.ts";

/** Whose token it is, and what it was made for. */
export interface KnownToken {
  user: string;
  uid?: string;
  groups?: readonly string[];
  extra?: Readonly<Record<string, readonly string[]>>;
  audiences: readonly string[];
}

/** What somebody may do. `*` means anything. */
export interface Grant {
  user: string;
  verbs: readonly string[];
  /** `coredumps` or `coredumps/bundle`. */
  resources: readonly string[];
  /** Empty text: all namespaces at once. */
  namespaces: readonly string[];
  names?: readonly string[];
}

/** A review that was asked for. */
export interface AskedReview {
  kind: "TokenReview" | "SubjectAccessReview";
  spec: Record<string, unknown>;
}

/** The part of a cluster that cdh-api talks to: token reviews, access reviews, Leases and one config map. */
export interface StandIn extends AsyncDisposable {
  readonly ca: KeyPair;
  readonly frontProxy: { ca: KeyPair; client: KeyPair };
  readonly tokens: Map<string, KnownToken>;
  grants: Grant[];
  readonly asked: AskedReview[];
  /** Workloads that are there, by their paths, with their uid. */
  readonly workloads: Map<string, string>;
  /** Events that were written, by namespace and name. */
  readonly events: Map<string, Record<string, unknown>>;
  /** What every request is answered while it is set: the API server is not well. */
  failure: number | undefined;
  /** How long it takes over a token, milliseconds. */
  tokenDelayMs: number;
  /** What cdh-api needs to find it. */
  readonly env: Record<string, string>;
  /** What the cluster's config map says of the front proxy. */
  readonly frontProxyConfig: Record<string, string>;
  /** Give the front proxy another authority. @returns its client's new certificate */
  rotateFrontProxy(): KeyPair;
  /** Make a key pair for a server on loopback. */
  serverPair(name: string): KeyPair;
}

/** Start the stand-in, with authorities of its own below a directory. */
export async function startStandIn(directory: string): Promise<StandIn> {
  mkdirSync(directory, { recursive: true });
  const ca = makeAuthority(directory, "cluster");
  const proxyCa = makeAuthority(directory, "front-proxy");
  const client = issue(directory, "front-proxy-client", proxyCa, { subject: "/CN=front-proxy-client" });
  const serverPair = (name: string): KeyPair =>
    issue(directory, name, ca, { subject: `/CN=${name}`, addresses: ["IP:127.0.0.1", "DNS:localhost"] });
  const own = serverPair("kubernetes");
  const account = join(directory, "service-account");
  mkdirSync(account, { recursive: true });
  writeFileSync(join(account, "token"), "the-servers-own-token");
  writeFileSync(join(account, "namespace"), "core-dump-handler");
  writeFileSync(join(account, "ca.crt"), readFileSync(ca.cert));

  const tokens = new Map<string, KnownToken>();
  const asked: AskedReview[] = [];
  const workloads = new Map<string, string>();
  const events = new Map<string, Record<string, unknown>>();
  const leases = new Leases();
  const state = { grants: [] as Grant[], failure: undefined as number | undefined, tokenDelayMs: 0 };
  const configMap: { kind: string; data: Record<string, string> } = {
    kind: "ConfigMap",
    data: {
      "client-ca-file": readFileSync(ca.cert, "utf8"),
      "requestheader-allowed-names": '["front-proxy-client"]',
      "requestheader-client-ca-file": readFileSync(proxyCa.cert, "utf8"),
      "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
      "requestheader-group-headers": '["X-Remote-Group"]',
      "requestheader-uid-headers": '["X-Remote-Uid"]',
      "requestheader-username-headers": '["X-Remote-User"]',
    },
  };

  const server = createServer({ cert: readFileSync(own.cert), key: readFileSync(own.key) }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      const send = (status: number, body: unknown): void => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(body));
      };
      if (state.failure !== undefined) return send(state.failure, { kind: "Status", code: state.failure });
      if (request.headers.authorization !== "Bearer the-servers-own-token") return send(401, { kind: "Status" });
      const path = request.url ?? "";
      if (path === "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication") {
        return send(200, configMap);
      }
      const body = JSON.parse(Buffer.concat(chunks).toString() || "{}") as AskedReview & { spec: never };
      if (path === "/apis/authentication.k8s.io/v1/tokenreviews") {
        asked.push({ kind: "TokenReview", spec: body.spec });
        return void setTimeout(
          () => send(201, { ...body, status: reviewToken(tokens, body.spec) }),
          state.tokenDelayMs,
        );
      }
      if (path === "/apis/authorization.k8s.io/v1/subjectaccessreviews") {
        asked.push({ kind: "SubjectAccessReview", spec: body.spec });
        return send(201, { ...body, status: { allowed: isAllowed(state.grants, body.spec) } });
      }
      const lease = leases.answer(request.method ?? "", path, body as unknown as Lease);
      if (lease !== undefined) return send(lease.status, lease.body);
      const uid = workloads.get(path);
      if (uid !== undefined) return send(200, { metadata: { uid } });
      const place = /^\/api\/v1\/namespaces\/([^/]+)\/events$/.exec(path)?.[1];
      if (place !== undefined && request.method === "POST") {
        const event = body as unknown as Record<string, unknown> & { metadata: { name: string } };
        const key = `${place}/${event.metadata.name}`;
        if (events.has(key)) return send(409, { kind: "Status", code: 409, reason: "AlreadyExists" });
        events.set(key, event);
        return send(201, event);
      }
      send(404, { kind: "Status", code: 404 });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ca,
    frontProxy: { ca: proxyCa, client },
    tokens,
    asked,
    workloads,
    events,
    get grants() {
      return state.grants;
    },
    set grants(grants) {
      state.grants = grants;
    },
    get tokenDelayMs() {
      return state.tokenDelayMs;
    },
    set tokenDelayMs(ms) {
      state.tokenDelayMs = ms;
    },
    get failure() {
      return state.failure;
    },
    set failure(failure) {
      state.failure = failure;
    },
    env: {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
      KUBERNETES_SERVICE_ACCOUNT_DIR: account,
    },
    serverPair,
    frontProxyConfig: configMap.data,
    rotateFrontProxy: () => {
      const authority = makeAuthority(directory, "next-front-proxy");
      configMap.data["requestheader-client-ca-file"] = readFileSync(authority.cert, "utf8");
      return issue(directory, "next-front-proxy-client", authority, { subject: "/CN=front-proxy-client" });
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Kubernetes names those audiences of the token that were asked for; none in common: not authenticated. */
function reviewToken(tokens: ReadonlyMap<string, KnownToken>, spec: Record<string, unknown>): Record<string, unknown> {
  const known = tokens.get(String(spec["token"]));
  const wanted = (spec["audiences"] as string[] | undefined) ?? ["https://kubernetes.default.svc"];
  const audiences = known?.audiences.filter((audience) => wanted.includes(audience)) ?? [];
  if (known === undefined || audiences.length === 0) return { authenticated: false, error: "no" };
  const user = { username: known.user, uid: known.uid, groups: known.groups ?? [], extra: known.extra };
  return { authenticated: true, audiences, user };
}

function isAllowed(grants: readonly Grant[], spec: Record<string, unknown>): boolean {
  // As the role system:discovery does it.
  const groups = (spec["groups"] as string[] | undefined) ?? [];
  if (spec["nonResourceAttributes"] !== undefined) return groups.includes("system:authenticated");
  const attributes = spec["resourceAttributes"] as Record<string, string>;
  const has = (list: readonly string[], value: string): boolean => list.includes("*") || list.includes(value);
  const resource =
    attributes["subresource"] === undefined
      ? (attributes["resource"] ?? "")
      : `${attributes["resource"]}/${attributes["subresource"]}`;
  return (
    attributes["group"] === "core-dump-handler.dev" &&
    grants.some(
      (grant) =>
        grant.user === spec["user"] &&
        has(grant.verbs, attributes["verb"] ?? "") &&
        has(grant.resources, resource) &&
        has(grant.namespaces, attributes["namespace"] ?? "") &&
        (grant.names === undefined || grant.names.includes(attributes["name"] ?? "")),
    )
  );
}
