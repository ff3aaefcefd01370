import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findTool, missingTools } from "./tools.ts";

/** A real containerd with two pods named `web-0`, in namespaces `shop` (server, sidecar) and `bank` (server). */
export interface RealContainerd extends AsyncDisposable {
  /** The directory that stands for the node's root: `run/containerd`, `var/log/pods` are below it. */
  readonly host: string;
  readonly socket: string;
  readonly crictl: string;
  readonly ids: Readonly<Record<"podA" | "podB" | "serverA" | "sidecarA" | "serverB", string>>;
  /** Pid on this machine of a container's first process. @throws {Error} when it has none */
  pidOf(containerId: string): number;
}

/** Say why no real containerd can be started here, or undefined. */
export function containerdUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "a real containerd needs root";
  return missingTools("containerd", "ctr", "runc", "gcc", "tar", "crictl");
}

/** Start it; it ends with this process, however that ends, and takes its containers and files with it. */
export async function startRealContainerd(): Promise<RealContainerd> {
  const host = mkdtempSync(join(tmpdir(), "cdh-containerd-"));
  const crictl = findTool("crictl").path ?? "crictl";
  const script = join(REPOSITORY, "test/fixtures/crictl/real-containerd.sh");
  const child = spawn(script, ["start", host, crictl], { stdio: ["pipe", "pipe", "pipe"], detached: true });
  child.stdin.on("error", () => undefined);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-8192)));
  const ended = once(child, "close");
  const first: unknown = await Promise.race([
    once(child.stdout, "data").then(([data]: unknown[]) => String(data)),
    ended.then(() => undefined),
  ]);
  if (typeof first !== "string") throw new Error(`containerd did not start: ${errors}`);
  const ids = JSON.parse(first) as RealContainerd["ids"];
  return {
    host,
    socket: join(host, "run/containerd/containerd.sock"),
    crictl,
    ids,
    pidOf: (containerId) => {
      for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
        try {
          if (readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${containerId}\n`)) return Number(pid);
        } catch {
          // It ended meanwhile.
        }
      }
      throw new Error(`no process of container ${containerId}`);
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
