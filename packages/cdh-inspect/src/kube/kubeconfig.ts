import type { RequestOptions } from "node:https";
import { CdhError, reasonOf } from "@cdh/core/errors";

/** What a person may say about which cluster is meant, as kubectl has it. */
export interface ClusterWishes {
  /** File; KUBECONFIG, ~/.kube/config or a pod's own account when left out. */
  kubeconfig?: string | undefined;
  /** Name of the context; the file's current one when left out. */
  context?: string | undefined;
}

/** A cluster, and how to be let in. */
export interface Cluster {
  server: URL;
  /** Name of the context, for messages. */
  name: string;
  /** The context's namespace; `default` when it has none. */
  namespace: string;
  /** Get what a request needs: CA, client certificate, agent, the bearer token. Asked for each request, because tokens expire. */
  options(): Promise<RequestOptions>;
}

/**
 * Read a kubeconfig as kubectl does: contexts, client certificates, tokens, token files, exec plugins, OIDC, proxies.
 * @throws {CdhError} CDH_CONFIG_INVALID when there is none, or it has no such context
 */
export async function readKubeconfig(
  { kubeconfig, context }: ClusterWishes,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Cluster> {
  // Loaded only for clusters: it takes longer than everything else that a listing of files does.
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
    if (context !== undefined) config.setCurrentContext(context);
  } catch (error) {
    throw new CdhError("CDH_CONFIG_INVALID", `cannot read the kubeconfig: ${reasonOf(error)}`, { cause: error });
  }
  const name = config.getCurrentContext();
  const cluster = config.getCurrentCluster();
  // "loaded-context" on localhost:8080 is what the library makes of no kubeconfig at all.
  if (cluster === null || cluster === undefined || (name === "loaded-context" && cluster.server.endsWith(":8080"))) {
    const known = config.getContexts().map((one) => one.name);
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      name === "loaded-context" ? "no kubeconfig" : `the kubeconfig has no context ${JSON.stringify(name)}`,
      { hint: known.length > 1 ? `--context: one of ${known.join(", ")}` : "--kubeconfig FILE, or KUBECONFIG" },
    );
  }
  const server = parseServer(cluster.server);
  const proxy = cluster.proxyUrl === undefined ? proxyOf(server, env) : undefined;
  if (proxy !== undefined)
    config.clusters = config.clusters.map((one) => (one.name === cluster.name ? { ...one, proxyUrl: proxy } : one));
  return {
    server,
    name,
    namespace: config.getContextObject(name)?.namespace ?? "default",
    options: async () => {
      const options: RequestOptions = {};
      try {
        // `kubectl proxy` and the like: there is nothing to verify and the library refuses.
        if (server.protocol === "https:") await config.applyToHTTPSOptions(options);
      } catch (error) {
        throw new CdhError("CDH_STORE_DENIED", `cannot sign in with context ${name}: ${reasonOf(error)}`, {
          cause: error,
        });
      }
      return options;
    },
  };
}

function parseServer(text: string): URL {
  try {
    const url = new URL(text);
    if (url.protocol === "https:" || url.protocol === "http:") return url;
  } catch {
    // Said below.
  }
  throw new CdhError("CDH_CONFIG_INVALID", `the kubeconfig's server is no URL: ${text}`);
}

/** Find the proxy for a server in the environment, as kubectl does. */
export function proxyOf(server: URL, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const name = server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const proxy = env[name] ?? env[name.toLowerCase()];
  if (proxy === undefined || proxy === "") return undefined;
  if (/^(localhost|127\.|\[?::1)/.test(server.hostname)) return undefined;
  const excepted = (env["NO_PROXY"] ?? env["no_proxy"] ?? "").split(",").map((one) => one.trim().replace(/^\*?\./, ""));
  const isExcepted = excepted.some(
    (one) => one === "*" || (one !== "" && (server.hostname === one || server.hostname.endsWith(`.${one}`))),
  );
  return isExcepted ? undefined : proxy;
}
