import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtPath } from "../helpers/built.ts";
import { issue } from "../helpers/cluster-pki.ts";
import { freePort } from "../helpers/free-port.ts";
import type { RealCluster } from "../helpers/real-cluster.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { expectSoon } from "./workbench.ts";

/** Name of the service and of the service account that cdh-api runs as. */
export const SERVICE = "cdh-api";

const GROUP = "core-dump-handler.dev";
const VERSION = "v1alpha1";

/**
 * Start the built cdh-api beside a cluster as its service account, and register it there.
 * @param options.home namespace that is there, with the account in it and the account's rights
 * @param options.directory for its certificate, its account and `store`, which it serves
 * @returns it and its port on loopback; it serves, but kube-apiserver may not have asked it yet
 */
export async function startAggregated({
  cluster,
  directory,
  home,
}: {
  cluster: RealCluster;
  directory: string;
  home: string;
}): Promise<{ api: TiedChild; port: number }> {
  const account = join(directory, "account");
  mkdirSync(account);
  writeFileSync(join(account, "token"), await cluster.tokenOf(home, SERVICE));
  writeFileSync(join(account, "ca.crt"), readFileSync(cluster.ca.cert));
  writeFileSync(join(account, "namespace"), home);
  const tls = issue(directory, "cdh-api", cluster.ca, {
    subject: "/CN=cdh-api",
    addresses: ["IP:127.0.0.1", "DNS:localhost", `DNS:${SERVICE}.${home}.svc`],
  });
  const port = await freePort();
  const api = startTied(builtPath("cdh-api"), ["serve"], {
    env: {
      STORE_URL: `file://${join(directory, "store")}`,
      LISTEN_ADDR: `127.0.0.1:${port}`,
      METRICS_ADDR: `127.0.0.1:${await freePort()}`,
      TLS_CERT_FILE: tls.cert,
      TLS_KEY_FILE: tls.key,
      KUBERNETES_SERVICE_HOST: cluster.host,
      KUBERNETES_SERVICE_PORT: String(cluster.port),
      KUBERNETES_SERVICE_ACCOUNT_DIR: account,
      REFRESH_INTERVAL: "1s",
      RIGHTS_CACHE: "1s",
      LOG_FORMAT: "json",
    },
  });
  // kube-apiserver learns what a server serves when that is registered, and after a failure only a minute later.
  await expectSoon(
    "cdh-api is ready",
    () => ["the front proxy is known", "the store is listed"].every((msg) => api.output().includes(msg)),
    60_000,
  );
  // A service of this type is where its name says: no kube-proxy is needed, and the aggregator does the rest as ever.
  await cluster.apply({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: SERVICE, namespace: home },
    spec: { type: "ExternalName", externalName: "localhost", ports: [{ port }] },
  });
  await cluster.apply({
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: `${VERSION}.${GROUP}` },
    spec: {
      group: GROUP,
      version: VERSION,
      groupPriorityMinimum: 1000,
      versionPriority: 10,
      caBundle: readFileSync(cluster.ca.cert).toString("base64"),
      service: { name: SERVICE, namespace: home, port },
    },
  });
  return { api, port };
}
