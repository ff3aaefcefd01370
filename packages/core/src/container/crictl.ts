import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { type JsonObject, tryRecord } from "../base/records.ts";
import { onHost, type Roots } from "../base/roots.ts";
import { WRITE_LIMITS } from "../bundle/limits.ts";
import { run } from "../service/exec.ts";
import type { Collected } from "./collected.ts";
import { asObjects } from "./json.ts";

/** Where crictl is looked for, in IBM's order, then where distributions put it; the composer's own directory is last. */
export const CRICTL_SEARCH_PATH = [
  "/bin",
  "/sbin",
  "/usr/bin",
  "/usr/sbin",
  "/usr/local/bin",
  "/home/kubernetes/bin",
  "/opt/bin",
  "/var/lib/rancher/rke2/bin",
];

/** Sockets that runtimes listen on. */
export const CRI_SOCKETS = [
  "/run/containerd/containerd.sock",
  "/run/crio/crio.sock",
  "/run/k3s/containerd/containerd.sock",
  "/run/cri-dockerd.sock",
  "/var/snap/microk8s/common/run/containerd.sock",
  "/run/k0s/containerd.sock",
  "/run/dockershim.sock",
];

/** The machine's own settings of crictl; where they exist, an administrator has decided. */
const MACHINE_CONFIG = "/etc/crictl.yaml";

/** An image list of some thousand images; more is cut, and that answer is no answer. */
const MAX_OUTPUT_BYTES = WRITE_LIMITS.json.bytes;
const DEFAULT_TIMEOUT_MS = 5000;

/** Say how to find crictl and how to run it. */
export interface CrictlOptions {
  roots: Roots;
  /** The composer's directory: its crictl is the last resort, its `crictl.yaml` the one of USE_CRIO_CONF. */
  exeDir: string;
  /** USE_CRIO_CONF. */
  useConfig?: boolean;
  /** Of one call; its whole process group is killed afterwards. Default 5 s. */
  timeoutMs?: number;
  maxOutputBytes?: number;
  /** Directories to look in instead of {@link CRICTL_SEARCH_PATH}. */
  searchPath?: readonly string[];
}

/** Find crictl and decide how it reaches the runtime. Never rejects. */
export async function findCrictl(options: CrictlOptions): Promise<Collected<Crictl>> {
  const directories = [
    ...(options.searchPath ?? CRICTL_SEARCH_PATH).map((path) => onHost(options.roots, path)),
    options.exeDir,
  ];
  for (const directory of directories) {
    const file = join(directory, "crictl");
    if (!(await isExecutable(file))) continue;
    const config = join(options.exeDir, "crictl.yaml");
    const globalArgs = options.useConfig === true && (await exists(config)) ? ["-c", config] : [];
    const socket = globalArgs.length === 0 ? await findSocket(options.roots) : undefined;
    const env: Record<string, string> = { PATH: directories.join(":"), HOME: "/" };
    if (socket !== undefined) {
      // In the environment, so that the arguments stay the ones that every crictl since v1.0 takes.
      env["CONTAINER_RUNTIME_ENDPOINT"] = `unix://${socket}`;
      env["IMAGE_SERVICE_ENDPOINT"] = `unix://${socket}`;
    }
    return { value: new Crictl(file, globalArgs, env, options) };
  }
  return { missing: "CDH_CRICTL_NOT_FOUND", detail: `no crictl in ${directories.join(":")}` };
}

/**
 * Ask the container runtime through crictl. Answers are taken as they come: objects or arrays, numbers as text. Only
 * the exit status is failure; what crictl writes to stderr is for people. The same question is asked once.
 */
export class Crictl {
  /** Path of the program. */
  readonly file: string;
  readonly #globalArgs: readonly string[];
  readonly #env: Record<string, string>;
  readonly #timeoutMs: number;
  readonly #maxOutputBytes: number;
  readonly #answers = new Map<string, Promise<Collected<string>>>();

  constructor(
    file: string,
    globalArgs: readonly string[],
    env: Record<string, string>,
    options: Pick<CrictlOptions, "timeoutMs" | "maxOutputBytes"> = {},
  ) {
    this.file = file;
    this.#globalArgs = globalArgs;
    this.#env = env;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#maxOutputBytes = options.maxOutputBytes ?? MAX_OUTPUT_BYTES;
  }

  /** Pods whose name holds this text: crictl's own match is a pattern, so compare the names yourself. */
  async podsByName(name: string, signal?: AbortSignal): Promise<Collected<JsonObject[]>> {
    return await this.#items(["pods", `--name=${escapePattern(name)}`, "-o", "json"], "items", signal);
  }

  /** The list entry of one pod. */
  async podById(sandboxId: string, signal?: AbortSignal): Promise<Collected<JsonObject[]>> {
    return await this.#items(["pods", "--id", sandboxId, "-o", "json"], "items", signal);
  }

  /** `inspectp`: `{ status, info }`. */
  async inspectPod(sandboxId: string, signal?: AbortSignal): Promise<Collected<JsonObject>> {
    return await this.#object(["inspectp", sandboxId], signal);
  }

  /** `ps`: the whole answer, `{ containers: […] }`. */
  async containersOf(sandboxId: string, signal?: AbortSignal): Promise<Collected<JsonObject>> {
    return await this.#object(["ps", "-o", "json", "-p", sandboxId], signal);
  }

  /** `inspect`: `{ status, info }`. */
  async inspectContainer(containerId: string, signal?: AbortSignal): Promise<Collected<JsonObject>> {
    return await this.#object(["inspect", containerId], signal);
  }

  async images(signal?: AbortSignal): Promise<Collected<JsonObject[]>> {
    return await this.#items(["images", "-o", "json"], "images", signal);
  }

  /** The last lines of a container's log, both streams together as far as crictl tells them apart. */
  async logs(containerId: string, lines: number, signal?: AbortSignal): Promise<Collected<string>> {
    return await this.#ask(["logs", `--tail=${lines}`, containerId], signal);
  }

  async #object(args: readonly string[], signal: AbortSignal | undefined): Promise<Collected<JsonObject>> {
    const answer = await this.#parsed(args, signal);
    if ("missing" in answer) return answer;
    // Newer versions answer an array when asked about several, and some when asked about one.
    const object = tryRecord(answer.value) ?? asObjects(answer.value)[0];
    return object === undefined ? { missing: "CDH_CRICTL_ANSWER", detail: `${args[0]}: no object` } : { value: object };
  }

  async #items(
    args: readonly string[],
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<Collected<JsonObject[]>> {
    const answer = await this.#parsed(args, signal);
    if ("missing" in answer) return answer;
    return { value: asObjects(Array.isArray(answer.value) ? answer.value : tryRecord(answer.value)?.[key]) };
  }

  async #parsed(args: readonly string[], signal: AbortSignal | undefined): Promise<Collected<unknown>> {
    const answer = await this.#ask(args, signal);
    if ("missing" in answer) return answer;
    try {
      return { value: parseJson(answer.value, WRITE_LIMITS.json) };
    } catch (error) {
      return {
        missing: "CDH_CRICTL_ANSWER",
        detail: `${args[0]}: ${reasonOf(error)} (${answer.value.length} characters)`,
      };
    }
  }

  async #ask(args: readonly string[], signal: AbortSignal | undefined): Promise<Collected<string>> {
    const key = args.join("\0");
    const asked = this.#answers.get(key) ?? this.#run(args, signal);
    this.#answers.set(key, asked);
    const answer = await asked;
    if ("missing" in answer) this.#answers.delete(key);
    return answer;
  }

  async #run(args: readonly string[], signal: AbortSignal | undefined): Promise<Collected<string>> {
    const result = await run(this.file, [...this.#globalArgs, ...args], {
      env: this.#env,
      cwd: "/",
      timeoutMs: this.#timeoutMs,
      maxOutputBytes: this.#maxOutputBytes,
      dropsCutOutput: true,
      ...(signal === undefined ? {} : { signal }),
    });
    const what = `crictl ${args[0] ?? ""}`;
    if (result.timedOut || result.aborted) {
      return { missing: "CDH_CRICTL_TIMEOUT", detail: `${what}: no answer after ${Math.round(result.durationMs)} ms` };
    }
    if (result.truncated) {
      return { missing: "CDH_CRICTL_TOO_LONG", detail: `${what}: more than ${this.#maxOutputBytes} bytes` };
    }
    if (result.notStarted !== undefined) {
      return { missing: "CDH_CRICTL_NOT_STARTED", detail: `${what}: ${result.notStarted}` };
    }
    if (result.failed) {
      const status = result.exitCode === undefined ? `ended by ${result.signal}` : `exit status ${result.exitCode}`;
      return { missing: "CDH_CRICTL_FAILED", detail: `${what}: ${status}${lastWords(result.stderr)}` };
    }
    return { value: result.stdout };
  }
}

/** crictl takes names as patterns; what a host name may hold of their signs must stand for itself. */
function escapePattern(name: string): string {
  return name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

function lastWords(stderr: string): string {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  return line === "" ? "" : `: ${line.slice(0, 500)}`;
}

async function findSocket(roots: Roots): Promise<string | undefined> {
  if (await exists(onHost(roots, MACHINE_CONFIG))) return undefined;
  for (const socket of CRI_SOCKETS) {
    const path = onHost(roots, socket);
    const found = await stat(path).catch(() => undefined);
    if (found?.isSocket() === true) return path;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function isExecutable(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) return false;
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
