import { readFileSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { rootCertificates } from "node:tls";
import { CdhError, reasonOf } from "../base/errors.ts";
import { proxyEnv } from "./proxy-env.ts";

/** Connections to a store and to what gives its tokens. */
export interface Agents {
  http: HttpAgent;
  https: HttpsAgent;
}

/** Say how connections are made. */
export interface AgentOptions {
  /** Most connections to one host at a time. */
  connections: number;
  /** PEM file of certificate authorities to trust besides the usual ones. */
  caBundle: string | undefined;
  /** The program's environment, for the proxy's variables. */
  env: Readonly<Record<string, string | undefined>>;
}

/**
 * Make the connections that all requests of a store share: kept alive, through the proxy of HTTPS_PROXY, HTTP_PROXY and
 * NO_PROXY, and never through it to an address of metadata.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function createAgents({ connections, caBundle, env }: AgentOptions): Agents {
  const shared = { keepAlive: true, maxSockets: connections, proxyEnv: proxyEnv(env) };
  const ca = caBundle === undefined ? {} : { ca: [...rootCertificates, readCaBundle(caBundle)] };
  return { http: new HttpAgent(shared), https: new HttpsAgent({ ...shared, ...ca }) };
}

function readCaBundle(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new Error("it holds no certificate");
    return text;
  } catch (error) {
    throw new CdhError("CDH_CONFIG_INVALID", `cannot use S3_CA_BUNDLE ${path}: ${reasonOf(error)}`, { cause: error });
  }
}
