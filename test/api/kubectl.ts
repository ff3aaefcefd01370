import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { findOnPath, findTool } from "../helpers/tools.ts";

/** What kubectl did. */
export interface Kubectled {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs kubectl. */
export interface Kubectl {
  (...args: string[]): Promise<Kubectled>;
  /** Run it with its output going to a file. */
  into(file: string, ...args: string[]): Promise<Kubectled>;
  /** Start it and let it run. */
  start(...args: string[]): TiedChild;
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
): Kubectl {
  const config = join(directory, `kubeconfig-${server.name ?? "direct"}.json`);
  writeKubeconfig(config, server);
  const [command = "kubectl", ...first] = findKubectl().command ?? [];
  const argsOf = (args: readonly string[]): string[] => [
    ...first,
    "--kubeconfig",
    config,
    "--cache-dir",
    join(directory, "kube-cache"),
    ...args,
  ];
  const run = (args: readonly string[], output: number | "pipe"): Promise<Kubectled> =>
    new Promise((resolve, reject) => {
      const child = spawn(command, argsOf(args), { stdio: ["ignore", output, "pipe"], timeout: 60_000 });
      let stdout = "";
      let stderr = "";
      child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.on("error", reject);
      child.on("close", (status) => resolve({ status: status ?? 255, stdout, stderr }));
    });
  return Object.assign((...args: string[]) => run(args, "pipe"), {
    into: async (file: string, ...args: string[]) => {
      const output = openSync(file, "w");
      try {
        return await run(args, output);
      } finally {
        closeSync(output);
      }
    },
    start: (...args: string[]) => startTied(command, argsOf(args)),
  });
}

/** Write a kubeconfig that leads straight to a server, with a token. */
export function writeKubeconfig(file: string, server: { port: number; caFile: string; token: string }): void {
  writeFileSync(
    file,
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
}
