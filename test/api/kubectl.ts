import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findOnPath, findTool } from "../helpers/tools.ts";

/** What kubectl did. */
export interface Kubectled {
  status: number;
  stdout: string;
  stderr: string;
}

/** The kubectl of this machine: the pinned Kubernetes's, else the one on PATH. */
export function findKubectl(): { command: string[]; reason?: undefined } | { command?: undefined; reason: string } {
  const pinned = findTool("kubernetes").path;
  if (pinned !== undefined) return { command: [pinned, "kubectl"] };
  const found = findOnPath("kubectl");
  return found.path === undefined ? { reason: found.reason } : { command: [found.path] };
}

/** Make a kubectl that talks straight to a server, with a token. */
export function kubectlAt(
  directory: string,
  server: { port: number; caFile: string; token: string; name?: string },
): (...args: string[]) => Promise<Kubectled> {
  const config = join(directory, `kubeconfig-${server.name ?? "direct"}.json`);
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "direct",
          cluster: {
            server: `https://127.0.0.1:${server.port}`,
            "certificate-authority-data": readFileSync(server.caFile).toString("base64"),
          },
        },
      ],
      users: [{ name: "me", user: { token: server.token } }],
      contexts: [{ name: "direct", context: { cluster: "direct", user: "me", namespace: "shop" } }],
      "current-context": "direct",
    }),
  );
  const [command = "kubectl", ...first] = findKubectl().command ?? [];
  return (...args) =>
    new Promise((resolve) => {
      execFile(
        command,
        [...first, "--kubeconfig", config, "--cache-dir", join(directory, "kube-cache"), ...args],
        { encoding: "utf8", timeout: 60_000, maxBuffer: 1 << 28 },
        (error, stdout, stderr) => {
          const status = error === null ? 0 : typeof error.code === "number" ? error.code : 255;
          resolve({ status, stdout, stderr });
        },
      );
    });
}
