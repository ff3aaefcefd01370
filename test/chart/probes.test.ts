import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, render, type Container } from "./helm.ts";

interface Probe {
  httpGet: { path: string; port: string };
}

describeUnless(missingTools("helm") ?? notBuilt("cdh-upload"), "the uploader, started as the chart starts it", () => {
  let folder: string;
  let child: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "cdh-probes-"));
    mkdirSync(join(folder, "spool"));
    mkdirSync(join(folder, "store"));
  });
  afterEach(() => {
    child?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  it("answers its probes and metrics on the port that it names, and ends well within its time", async () => {
    const metricsPort = await freePort();
    const values = {
      store: { pvc: { existingClaim: "cores" } },
      upload: { metricsPort, kubernetesEvents: false },
      daemonset: { coreDirectory: join(folder, "spool") },
    };
    const container = containerOf(render(values), "upload") as Container & {
      ports: { name: string; containerPort: number }[];
      startupProbe: Probe;
      livenessProbe: Probe;
      readinessProbe: Probe;
    };
    expect(container.ports).toEqual([{ name: "upload", containerPort: metricsPort }]);
    // The claim's place in the container is another one here.
    const env = { ...envOf(container), STORE_URL: `file://${folder}/store`, PATH: process.env["PATH"] ?? "" };
    const started = spawn(builtPath("cdh-upload"), container.command?.slice(1) ?? [], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = started;
    let log = "";
    await new Promise<void>((resolve, reject) => {
      started.stderr.on("data", (chunk: Buffer) => {
        log += chunk.toString();
        if (log.includes("serving metrics and probes")) resolve();
      });
      started.on("close", () => reject(new Error(log)));
    });

    const ask = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${metricsPort}${path}`);
    for (const { httpGet } of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(httpGet.port).toBe("upload");
      await expect.poll(async () => (await ask(httpGet.path)).status, { timeout: 10_000 }).toBe(200);
    }
    expect(await (await ask("/metrics")).text()).toContain("cdh_store_available 1");

    const ended = once(started, "close");
    started.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
  });
});
