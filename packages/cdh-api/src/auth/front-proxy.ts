import { X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { tryRecord } from "@cdh/core/base/records";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import { parseJson } from "@cdh/core/json";
import type { Logger } from "@cdh/core/log";
import { hasClientCertificate } from "../http/client-certificate.ts";
import type { Caller } from "./caller.ts";
import { textsOf, type Cluster } from "./cluster.ts";

/** Where every cluster says how its front proxy is known. */
const CONFIG_PATH = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const LOOK_MS = 60_000;
/** A certificate that is not known makes it look, at most this often. */
const HURRY_MS = 2000;
const LOOK_AGAIN_MS = 2000;

/** How the front proxy is known, and how it says who asks. */
interface ProxyConfig {
  caPem: string;
  authorities: readonly X509Certificate[];
  /** Common names; empty: any certificate of the authorities. */
  allowedNames: readonly string[];
  userHeaders: readonly string[];
  uidHeaders: readonly string[];
  groupHeaders: readonly string[];
  extraPrefixes: readonly string[];
}

/**
 * Know the cluster's API aggregator by its client certificate, and only then believe its headers.
 * @see https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
 */
export class FrontProxy {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  readonly #log: Logger;
  #config: ProxyConfig | undefined;
  #trouble: string | undefined;
  #sourceText = "";
  #lookedAt = Number.NEGATIVE_INFINITY;
  #verdicts = new WeakMap<TLSSocket, boolean>();
  /** Called with the authorities whenever they change. */
  onAuthorities: (caPem: string) => void = () => {};

  constructor(cluster: Cluster, clock: Clock, log: Logger) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#log = log;
  }

  /** Why callers through the aggregator cannot be known; undefined when they can. */
  get trouble(): string | undefined {
    return this.#config === undefined ? (this.#trouble ?? "not read yet") : undefined;
  }

  /** Read the configuration again and again until told to stop. */
  async run(stopSignal: AbortSignal): Promise<void> {
    while (!stopSignal.aborted) {
      await this.#look();
      await this.#clock.sleep(this.#trouble === undefined ? LOOK_MS : LOOK_AGAIN_MS, stopSignal).catch(() => {});
    }
  }

  /** @returns who asks, when the front proxy says it; undefined when this is not the front proxy */
  identify(request: IncomingMessage): Caller | undefined {
    const config = this.#config;
    if (config === undefined) return undefined;
    if (!this.isFrontProxy(request.socket as TLSSocket)) {
      if (hasClientCertificate(request)) this.#hurry();
      return undefined;
    }
    const headers = request.headersDistinct;
    const first = (names: readonly string[]): string | undefined =>
      names.map((name) => headers[name]?.[0]?.trim()).find((value) => value !== undefined && value !== "");
    const user = first(config.userHeaders);
    if (user === undefined) return undefined;
    const uid = first(config.uidHeaders);
    return {
      user,
      ...(uid === undefined ? {} : { uid }),
      groups: config.groupHeaders.flatMap((name) => headers[name] ?? []),
      extra: extraOf(headers, config.extraPrefixes),
      via: "frontProxy",
    };
  }

  /** Tell whether a connection is the front proxy's. Judged once; a change of the configuration judges anew. */
  isFrontProxy(socket: TLSSocket): boolean {
    if (this.#config === undefined) return false;
    const known = this.#verdicts.get(socket);
    if (known !== undefined) return known;
    const verdict = judge(socket, this.#config, this.#clock.now());
    this.#verdicts.set(socket, verdict);
    return verdict;
  }

  /** The cluster may have another authority since a moment ago: then this certificate is good, and nobody waits a minute. */
  #hurry(): void {
    if (this.#clock.monotonic() - this.#lookedAt > HURRY_MS) void this.#look();
  }

  async #look(): Promise<void> {
    this.#lookedAt = this.#clock.monotonic();
    try {
      const answer = await this.#cluster.read(CONFIG_PATH);
      if (answer.status !== 200) throw new Error(answer.problem ?? `the API server says ${answer.status}`);
      const data = tryRecord(tryRecord(answer.body)?.["data"]) ?? {};
      const text = JSON.stringify(data);
      if (text !== this.#sourceText) {
        this.#config = parseConfig(data);
        this.#sourceText = text;
        this.#verdicts = new WeakMap();
        this.onAuthorities(this.#config.caPem);
        this.#log.info("the front proxy is known", {
          allowedNames: this.#config.allowedNames,
          authorities: this.#config.authorities.map((authority) => authority.subject),
        });
      }
      this.#trouble = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#trouble !== reason) this.#log.warn("cannot read how the front proxy is known", { reason });
      this.#trouble = reason;
    }
  }
}

/**
 * TLS checked the chain and the purpose against the authorities that were known when the connection was made; that one of
 * today's authorities signed it is checked here. Without a certificate OpenSSL can call a resumed session authorized.
 */
function judge(socket: TLSSocket, config: ProxyConfig, now: number): boolean {
  if (!socket.authorized) return false;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return false;
  const isOurs = config.authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
  if (!isOurs || now < certificate.validFromDate.getTime() || now > certificate.validToDate.getTime()) return false;
  if (config.allowedNames.length === 0) return true;
  const name = commonNameOf(certificate);
  return name !== undefined && config.allowedNames.includes(name);
}

/**
 * Read the common name from the parsed subject. `certificate.subject` is a text whose lines anybody who orders a
 * certificate can write.
 * @returns undefined when there is none, or more than one: readers differ on which of them counts
 */
export function commonNameOf(certificate: X509Certificate): string | undefined {
  // Node's types promise a text; several common names come as a list.
  const name: unknown = certificate.toLegacyObject().subject.CN;
  return typeof name === "string" ? name : undefined;
}

function parseConfig(data: Record<string, unknown>): ProxyConfig {
  const caPem = data["requestheader-client-ca-file"];
  if (typeof caPem !== "string") throw new Error("the cluster has no front proxy (no requestheader-client-ca-file)");
  const blocks = caPem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error("requestheader-client-ca-file holds no certificate");
  // What is there and cannot be read is refused: an empty list of allowed names lets every certificate in.
  const list = (key: string): string[] => {
    const text = data[key] ?? "";
    if (text === "") return [];
    const value: unknown = typeof text === "string" ? parseJson(text) : text;
    const texts = textsOf(value);
    if (!Array.isArray(value) || texts.length !== value.length) throw new Error(`${key} is not a list of texts`);
    return texts;
  };
  const lower = (names: string[]): string[] => names.map((name) => name.toLowerCase());
  return {
    caPem,
    authorities: blocks.map((block) => new X509Certificate(block)),
    allowedNames: list("requestheader-allowed-names"),
    userHeaders: lower(list("requestheader-username-headers")),
    uidHeaders: lower(list("requestheader-uid-headers")),
    groupHeaders: lower(list("requestheader-group-headers")),
    extraPrefixes: lower(list("requestheader-extra-headers-prefix")),
  };
}

function extraOf(
  headers: Readonly<Record<string, string[] | undefined>>,
  prefixes: readonly string[],
): Record<string, string[]> {
  const extra: Record<string, string[]> = {};
  for (const [name, values] of Object.entries(headers)) {
    const prefix = prefixes.find((candidate) => name.startsWith(candidate));
    if (prefix === undefined || values === undefined) continue;
    extra[tryDecode(name.slice(prefix.length))] = values;
  }
  return extra;
}

function tryDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
