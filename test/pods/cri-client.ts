import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findTool } from "../helpers/tools.ts";
import type { ContainerConfig, SandboxConfig } from "./cri.ts";

const execute = promisify(execFile);

/** A runtime as crictl speaks to it. */
export interface CriClient {
  /** Run crictl. @throws {Error} with its words */
  ask(args: readonly string[]): Promise<{ stdout: string; stderr: string }>;
  /** Run crictl. @returns what it printed. @throws {Error} with its words */
  crictl(...args: string[]): Promise<string>;
  /** Start a sandbox. @returns its id */
  runPod(config: SandboxConfig): Promise<string>;
  /** Create and start a container. @returns its id */
  runContainer(podId: string, pod: SandboxConfig, config: ContainerConfig): Promise<string>;
}

/** Speak to a runtime by its socket. @param configs folder for what crictl takes as files */
export function makeCriClient(socket: string, configs: string): CriClient {
  const tool = findTool("crictl").path ?? "crictl";
  const env = {
    ...process.env,
    CONTAINER_RUNTIME_ENDPOINT: `unix://${socket}`,
    IMAGE_SERVICE_ENDPOINT: `unix://${socket}`,
  };
  const ask: CriClient["ask"] = (args) => execute(tool, ["--timeout", "60s", ...args], { env, maxBuffer: 1 << 26 });
  const crictl: CriClient["crictl"] = async (...args) => (await ask(args)).stdout.trim();
  let files = 0;
  const asFile = (config: unknown): string => {
    const path = join(configs, `config-${(files += 1)}.json`);
    writeFileSync(path, JSON.stringify(config));
    return path;
  };
  return {
    ask,
    crictl,
    runPod: async (config) => {
      mkdirSync(config.log_directory, { recursive: true });
      return crictl("runp", asFile(config));
    },
    runContainer: async (podId, pod, config) => {
      mkdirSync(join(pod.log_directory, dirname(config.log_path)), { recursive: true });
      const id = await crictl("create", podId, asFile(config), asFile(pod));
      await crictl("start", id);
      return id;
    },
  };
}

/** Find a container's first process by its cgroup. @returns its pid on this machine. @throws {Error} when it has none */
export function firstProcessOf(containerId: string): number {
  const level = new RegExp(`[/-]${containerId}(\\.scope)?(/|$)`, "m");
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!level.test(readFileSync(`/proc/${pid}/cgroup`, "utf8"))) continue;
      // Its number in its own namespace comes last.
      if (/^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  }
  throw new Error(`no first process of container ${containerId}`);
}
