import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startFakeApiServer, type FakeApiServer } from "../../packages/cdh-sysctl/src/testing/fake-api-server.ts";
import { builtPath } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { fuseUnavailable, mountFuse } from "../helpers/hanging-mount.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { isGone, makeHost, OWN, sysctlSuiteUnavailable, type Host } from "./host.ts";

const POD = "/api/v1/namespaces/observe/pods/cdh-x1";
const NAMESPACE = "/api/v1/namespaces/observe";
const DAEMON_SET = "/apis/apps/v1/namespaces/observe/daemonsets/cdh";

type Watch = ReturnType<typeof startTied>;

/** Start the built `watch` on a fake node and wait until it says that the node is well. */
async function startWatch(host: Host, env: Record<string, string> = {}): Promise<Watch> {
  const watch = startTied(builtPath("cdh-sysctl"), ["watch", "--interval", "100ms"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HOST_DIR: host.hostDir,
      PROC_ROOT: host.proc,
      COMPOSER: join(host.directory, "composer-1"),
      READY_FILE: join(host.directory, "ready"),
      PROVE_CAPTURE: "false",
      // vitest has a MODE of its own.
      MODE: "",
      ...env,
    },
  });
  await expect.poll(() => existsSync(join(host.directory, "ready")) || watch.output(), { timeout: 20_000 }).toBe(true);
  return watch;
}

function inCluster(server: FakeApiServer): Record<string, string> {
  server.answers.set(POD, {
    status: 200,
    body: { metadata: { ownerReferences: [{ kind: "DaemonSet", name: "cdh" }] } },
  });
  server.answers.set(DAEMON_SET, { status: 200, body: { kind: "DaemonSet", metadata: { name: "cdh" } } });
  server.answers.set(NAMESPACE, { status: 200, body: { kind: "Namespace", metadata: { name: "observe" } } });
  return {
    KUBERNETES_SERVICE_HOST: server.access.host,
    KUBERNETES_SERVICE_PORT: String(server.access.port),
    SERVICE_ACCOUNT_DIR: server.access.directory,
    POD_NAME: "cdh-x1",
    ROLE_BINDING_NAME: "cdh-uninstall",
  };
}

describeUnless(sysctlSuiteUnavailable() ?? missingTools("openssl"), "cdh-sysctl watch", () => {
  it("restores the node on SIGTERM when its DaemonSet is deleted", async () => {
    using host = makeHost();
    await using server = await startFakeApiServer();
    const watch = await startWatch(host, inCluster(server));
    server.answers.delete(DAEMON_SET);
    await watch.stop("TERM");
    expect(watch.output()).toContain("DaemonSet observe/cdh does not exist any more");
    expect(host.values()).toEqual(OWN);
    expect(isGone(host.hostDir)).toBe(true);
    expect(isGone(join(host.directory, "ready"))).toBe(true);
  });

  it("leaves the handler in place on SIGTERM when its DaemonSet lives, or nobody can tell", async () => {
    // 401: what an upgrade leaves behind that gives the service account another name.
    for (const answer of [undefined, { status: 500, body: {} }, { status: 401, body: {} }]) {
      using host = makeHost();
      await using server = await startFakeApiServer();
      const watch = await startWatch(host, inCluster(server));
      if (answer !== undefined) server.answers.set(DAEMON_SET, answer);
      await watch.stop("TERM");
      expect(watch.output()).toContain("the handler stays in place");
      expect(host.values().core_pattern).toContain(`|${host.hostDir}/cdc `);
    }
  }, 120_000);

  it("restores the node when the release and its right to ask are deleted: a watch that is open is told", async () => {
    using host = makeHost();
    await using server = await startFakeApiServer();
    const watch = await startWatch(host, inCluster(server));
    await expect.poll(() => server.push({ type: "ADDED" }), { timeout: 10_000 }).toBe(1);
    server.push({ type: "DELETED" });
    server.answers.set(DAEMON_SET, { status: 401, body: {} });
    await watch.stop("TERM");
    expect(watch.output()).toContain("its RoleBinding");
    expect(host.values()).toEqual(OWN);
  }, 60_000);

  it("leaves the node to another watch that has taken it over", async () => {
    using host = makeHost();
    await using server = await startFakeApiServer();
    const older = await startWatch(host, inCluster(server));
    rmSync(join(host.directory, "ready"));
    const newer = await startWatch(host, inCluster(server));
    server.answers.delete(DAEMON_SET);
    await older.stop("TERM");
    expect(older.output()).toMatch(/another cdh-sysctl (has installed|looks after this node)/);
    expect(host.values().core_pattern).toContain(`|${host.hostDir}/cdc `);
    await newer.stop("KILL");
  }, 60_000);

  it("keeps a lease that an install by hand ends", async () => {
    using host = makeHost();
    const lease = join(host.hostDir, ".watch-lease");
    await (await startWatch(host)).stop("KILL");
    expect(existsSync(lease)).toBe(true);
    expect((await host.run(["install"])).exitCode).toBe(0);
    expect(existsSync(lease)).toBe(false);
  });

  it("restores always, or never, when that is asked for", async () => {
    using host = makeHost();
    await (await startWatch(host, { RESTORE_ON_EXIT: "never" })).stop("TERM");
    expect(host.values().core_pattern).toContain(`|${host.hostDir}/cdc `);
    rmSync(join(host.directory, "ready"), { force: true });
    await (await startWatch(host, { RESTORE_ON_EXIT: "always" })).stop("TERM");
    expect(host.values()).toEqual(OWN);
  });

  it("serves health and metrics, and takes its readiness back while the node is not well", async () => {
    using host = makeHost();
    const port = await freePort();
    const watch = await startWatch(host, { METRICS_ADDR: `127.0.0.1:${port}` });
    const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    expect(await get("/healthz")).toBe("ok\n");
    // Three repairs come at once. The next ones come after a wait, in which the node is not well.
    for (let fight = 1; fight <= 5; fight += 1) {
      host.set({ core_pipe_limit: String(fight) });
      const counted = `cdh_sysctl_drift_total{what="kernel.core_pipe_limit"} ${fight}\n`;
      await expect.poll(() => get("/metrics"), { timeout: 20_000 }).toContain(counted);
      await expect.poll(() => host.values().core_pipe_limit, { timeout: 20_000 }).toBe("64");
    }
    expect(await get("/metrics")).toMatch(/^cdh_sysctl_composer_info\{sha256="[0-9a-f]{64}",version="1"\} 1$/m);
    const log = watch.output();
    expect(log).toContain('"msg":"the node is not well"');
    expect(log).toContain("somebody keeps changing it");
    await watch.stop("TERM");
    await expect(get("/healthz")).rejects.toThrow("fetch failed");
  });

  it("survives a kill -9, and the next one goes on where it was", async () => {
    using host = makeHost();
    await (await startWatch(host)).stop("KILL");
    rmSync(join(host.directory, "ready"));
    const before = readFileSync(join(host.hostDir, ".cdh-sysctl.json"), "utf8");
    const watch = await startWatch(host);
    expect(readFileSync(join(host.hostDir, ".cdh-sysctl.json"), "utf8")).toBe(before);
    await watch.stop("TERM");
    expect(host.values().core_pattern).toContain(`|${host.hostDir}/cdc `);
  });

  it("refuses to start where install would", async () => {
    using host = makeHost();
    const result = await host.run(["watch", "--composer", "/none", "--core-pipe-limit", "0"]);
    expect(result.exitCode).toBe(10);
    expect(host.values()).toEqual(OWN);
  });
});

describeUnless(sysctlSuiteUnavailable() ?? fuseUnavailable(), "cdh-sysctl watch on a HOST_DIR that hangs", () => {
  it("starts, says so, answers and ends; installs when it answers; is ill while it hangs again", async () => {
    using host = makeHost();
    await using fuse = await mountFuse(host.directory, "fuse");
    const port = await freePort();
    const start = (): Watch =>
      startTied(builtPath("cdh-sysctl"), ["watch", "--interval", "1s", "--metrics-addr", `127.0.0.1:${port}`], {
        env: {
          PATH: process.env["PATH"] ?? "",
          HOST_DIR: join(fuse.path, "h"),
          PROC_ROOT: host.proc,
          COMPOSER: join(host.directory, "composer-1"),
          PROVE_CAPTURE: "false",
          MODE: "",
        },
      });
    const get = async (path: string): Promise<[number, string]> => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) });
      return [answer.status, await answer.text()];
    };
    const says = async (): Promise<string> => (await get("/healthz").catch(() => [0, ""] as const)).join(" ");
    const endsWithin = async (watch: Watch, ms: number): Promise<void> => {
      const started = performance.now();
      await watch.stop("TERM");
      expect(performance.now() - started, watch.output()).toBeLessThan(ms);
    };
    await fuse.hang();
    const first = start();
    await expect.poll(says, { timeout: 30_000 }).toMatch(/^503 .*does not answer/);
    expect((await get("/metrics"))[1]).toContain("cdh_sysctl_");
    expect(first.output()).toContain("does not answer");
    await endsWithin(first, 8_000);
    expect(host.values()).toEqual(OWN);

    const second = start();
    await expect.poll(says, { timeout: 30_000 }).toMatch(/^503/);
    fuse.answer();
    await expect.poll(says, { timeout: 60_000 }).toMatch(/^200/);
    expect(host.values().core_pattern).toContain(`|${join(fuse.path, "h")}/cdc `);
    await fuse.hang();
    await expect.poll(says, { timeout: 30_000 }).toMatch(/^503 .*does not answer/);
    fuse.answer();
    await expect.poll(says, { timeout: 30_000 }).toMatch(/^200/);
    await endsWithin(second, 8_000);
  }, 180_000);
});
