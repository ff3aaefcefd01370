import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname } from "node:path";
import { only, render } from "../chart/helm.ts";
import { UnknownField } from "./fields.ts";
import type { Kubelet } from "./kubelet.ts";
import type { PodNode } from "./pod-node.ts";
import { expectSoon } from "./soon.ts";
import type { Probe } from "./translate-probes.ts";
import type { HostPath } from "./translate-volumes.ts";
import { translatePod, type TranslatedPod } from "./translate.ts";

/** Our pod on the node, as the chart asks for it. */
export interface Deployment {
  readonly pod: TranslatedPod;
  readonly podId: string;
  readonly address: string;
  /** Ids of the containers by their names; a restart changes them. */
  readonly ids: Map<string, string>;
  /** Ask what a probe of a kubelet asks. @returns the HTTP status; 0 when nothing answers, 1 when a port is open */
  ask(container: string, kind: "startup" | "liveness" | "readiness"): Promise<number>;
  /** Read a metric of a container; 0 when it has not been counted. */
  metric(container: string, name: string): Promise<number>;
  /** Start a container again, as a kubelet does after it ended. */
  restart(container: string): Promise<void>;
  /** Kill a container, and start it again with these variables beside the chart's own. */
  reconfigure(container: string, env: Readonly<Record<string, string>>): Promise<void>;
  /** What a container wrote, of its current start. */
  logs(container: string): Promise<string>;
  /** SIGTERM, the pod's grace period, SIGKILL; then the sandbox goes. */
  stop(): Promise<void>;
}

/** The namespace that the chart is rendered for. */
export const NAMESPACE = "observe";

/** Render the chart and translate its DaemonSet. */
export function renderPod(values: unknown, kubelet: Kubelet): TranslatedPod {
  const rendered = render(values);
  if (rendered.refused !== "") throw new Error(rendered.refused);
  return translatePod(only(rendered, "DaemonSet"), kubelet);
}

/** Render, start, and wait until every container is ready. */
export async function deploy(node: PodNode, values: unknown, kubelet: Kubelet): Promise<Deployment> {
  const pod = renderPod(values, kubelet);
  for (const path of pod.hostPaths) prepare(path);
  for (const { path, content, mode } of pod.files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode });
  }
  const podId = await node.runPod(pod.sandbox);
  const address = await node.addressOf(podId);
  const ids = new Map<string, string>();
  /** The variables that the chart gives a container. */
  const asCharted = new Map<string, { key: string; value: string }[]>();
  const start = async (name: string): Promise<void> => {
    const { config } = find(pod, name);
    ids.set(name, await node.runContainer(podId, pod.sandbox, config));
  };
  const ask: Deployment["ask"] = async (name, kind) => {
    const probe = find(pod, name).probes[kind];
    if (probe === undefined) throw new Error(`${name} has no ${kind} probe`);
    return askProbe(node, address, probe);
  };
  const logs = (name: string): Promise<string> => node.logs(ids.get(name) ?? "");
  const deployment: Deployment = {
    pod,
    podId,
    address,
    ids,
    ask,
    logs,
    metric: async (name, wanted) => {
      const port = find(pod, name).probes.liveness?.port ?? 0;
      const { body } = await get(node, address, { port, path: "/metrics", timeoutSeconds: 5 });
      const line = body.split("\n").find((text) => text.startsWith(`${wanted} `));
      return line === undefined ? 0 : Number(line.slice(wanted.length + 1));
    },
    restart: async (name) => {
      const { config } = find(pod, name);
      const attempt = config.metadata.attempt + 1;
      config.metadata.attempt = attempt;
      config.log_path = `${name}/${attempt}.log`;
      config.annotations["io.kubernetes.container.restartCount"] = String(attempt);
      await start(name);
      await ready(name);
    },
    reconfigure: async (name, env) => {
      process.kill(node.pidOf(ids.get(name) ?? ""), "SIGKILL");
      const { config } = find(pod, name);
      const charts = asCharted.get(name) ?? config.envs;
      asCharted.set(name, charts);
      const ours = Object.entries(env).map(([key, value]) => ({ key, value }));
      config.envs = [...charts.filter(({ key }) => env[key] === undefined), ...ours];
      await deployment.restart(name);
    },
    stop: async () => {
      await Promise.all(
        [...ids.values()].map((id) => node.crictl("stop", "--timeout", String(pod.gracePeriodSeconds), id)),
      );
      await node.crictl("rmp", "-f", podId);
      for (const { path } of pod.files) rmSync(path, { force: true });
    },
  };
  const ready = async (name: string): Promise<void> => {
    const { startup, readiness } = find(pod, name).probes;
    for (const probe of [startup, readiness]) {
      if (probe === undefined) continue;
      await expectSoon(`${name} is ready`, async () => isWell(await askProbe(node, address, probe)), {
        timeoutMs: 60_000,
        explain: () => logs(name),
      });
    }
  };
  for (const { config } of pod.containers) await start(config.metadata.name);
  for (const { config } of pod.containers) await ready(config.metadata.name);
  return deployment;
}

function find(pod: TranslatedPod, name: string): TranslatedPod["containers"][number] {
  const found = pod.containers.find(({ config }) => config.metadata.name === name);
  if (found === undefined) throw new Error(`the chart has no container ${name}`);
  return found;
}

/** Do what a kubelet does before a pod starts. @throws {UnknownField} when it would not start the pod */
function prepare({ path, type }: HostPath): void {
  if (type === "DirectoryOrCreate") mkdirSync(path, { recursive: true, mode: 0o755 });
  const found = statSync(path, { throwIfNoEntry: false });
  if (type === "FileOrCreate" && found === undefined) writeFileSync(path, "", { mode: 0o644 });
  const right =
    type === "" ||
    type === "FileOrCreate" ||
    (type === "File" && found?.isFile() === true) ||
    (type === "Socket" && found?.isSocket() === true) ||
    (type.startsWith("Directory") && found?.isDirectory() === true);
  if (!right) throw new UnknownField(`hostPath ${path} is no ${type}`);
}

function isWell(status: number): boolean {
  return status === 1 || (status >= 200 && status < 400);
}

async function askProbe(node: PodNode, address: string, probe: Probe): Promise<number> {
  if (probe.kind === "http") return (await get(node, address, probe)).status;
  // A connection through the node's relay stays open only when the pod has taken it.
  return new Promise((resolve) => {
    const stream = node.connect(address, probe.port);
    const end = (status: number): void => {
      resolve(status);
      stream.destroy();
    };
    stream.on("error", () => end(0)).on("close", () => end(0));
    stream.setTimeout(150, () => end(1));
    stream.resume();
  });
}

function get(
  node: PodNode,
  address: string,
  { port, path, timeoutSeconds }: { port: number; path: string; timeoutSeconds: number },
): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const nothing = (): void => resolve({ status: 0, body: "" });
    const asked = request(
      {
        createConnection: () => node.connect(address, port),
        host: address,
        port,
        path,
        timeout: timeoutSeconds * 1000,
      },
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => (body += text));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
        response.on("error", nothing);
      },
    );
    asked.on("error", nothing).on("timeout", () => asked.destroy());
    asked.end();
  });
}
