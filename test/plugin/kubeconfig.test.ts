import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { builtPath, notBuilt, outcomeOf, runPath, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { startApiServer, startConnectProxy, writeContexts, type ApiServer, type ConnectProxy } from "./api-server.ts";

const directory = scratchDirectory("kubeconfig");

describeUnless(notBuilt("cdh-inspect") ?? missingTools("openssl"), "signing in as the kubeconfig says", () => {
  let server: ApiServer;
  let proxy: ConnectProxy;

  beforeAll(async () => {
    server = await startApiServer(join(directory, "server"), () => ({
      status: 200,
      body: { kind: "CoreDumpList", metadata: {}, items: [] },
    }));
    proxy = await startConnectProxy();
  });
  afterAll(async () => {
    proxy?.close();
    await server?.[Symbol.asyncDispose]();
  });

  async function list(
    user: Record<string, unknown>,
    options: { cluster?: Record<string, unknown>; env?: Record<string, string> } = {},
  ): Promise<BuiltResult> {
    const { cluster, env } = options;
    const file = writeContexts(join(directory, "config"), {
      it: { port: server.port, caFile: server.ca.cert, user, ...(cluster === undefined ? {} : { cluster }) },
    });
    server.seen.length = 0;
    return runPath(builtPath("cdh-inspect"), ["ls", "--kube", "--kubeconfig", file], {
      env: { HOME: directory, PATH: process.env["PATH"] ?? "", ...env },
    });
  }

  it("by token, and by name and password", async () => {
    expect(outcomeOf(await list({ token: "t-1" }))).toBe("exit 0");
    expect(server.seen).toMatchObject([
      { path: expect.stringMatching(/namespaces\/default\/coredumps\?limit=/), authorization: "Bearer t-1" },
    ]);
    expect(outcomeOf(await list({ username: "me", password: "pw" }))).toBe("exit 0");
    expect(server.seen[0]?.authorization).toBe(`Basic ${Buffer.from("me:pw").toString("base64")}`);
  });

  it("by a client certificate", async () => {
    const { cert, key } = server.client("alice");
    expect(outcomeOf(await list({ "client-certificate": cert, "client-key": key }))).toBe("exit 0");
    expect(server.seen[0]).toMatchObject({ client: "alice", authorization: undefined });
    const data = {
      "client-certificate-data": readFileSync(cert).toString("base64"),
      "client-key-data": readFileSync(key).toString("base64"),
    };
    expect(outcomeOf(await list(data))).toBe("exit 0");
    expect(server.seen[0]?.client).toBe("alice");
  });

  it("by an exec plugin, and says when that fails", async () => {
    const helper = join(directory, "helper");
    writeFileSync(
      helper,
      `#!/bin/sh
[ "$FAILS" = yes ] && { echo "please sign in again" >&2; exit 1; }
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"made-by-%s"}}' "$1"
`,
    );
    chmodSync(helper, 0o755);
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: helper,
      args: ["helper"],
      interactiveMode: "Never",
    };
    expect(outcomeOf(await list({ exec }))).toBe("exit 0");
    expect(server.seen[0]?.authorization).toBe("Bearer made-by-helper");
    const failed = await list({ exec: { ...exec, env: [{ name: "FAILS", value: "yes" }] } });
    expect([failed.exitCode, failed.stderr]).toEqual([15, expect.stringContaining("cannot sign in with context it")]);
    const missing = await list({ exec: { ...exec, command: join(directory, "no-such-helper") } });
    expect([missing.exitCode, missing.stderr]).toEqual([15, expect.stringContaining("cannot sign in")]);
  });

  it("through a proxy of the kubeconfig, or of the environment", async () => {
    const url = `http://127.0.0.1:${proxy.port}`;
    expect(outcomeOf(await list({ token: "t" }, { cluster: { "proxy-url": url } }))).toBe("exit 0");
    expect(proxy.asked).toEqual([`127.0.0.1:${server.port}`]);
    // kubectl goes straight to loopback, whatever HTTPS_PROXY says.
    expect(outcomeOf(await list({ token: "t" }, { env: { HTTPS_PROXY: url } }))).toBe("exit 0");
    expect(proxy.asked.length).toBe(1);
    const named = {
      cluster: { server: `https://cluster.test:${server.port}` },
      env: { HTTPS_PROXY: url },
    };
    expect(outcomeOf(await list({ token: "t" }, named))).toBe("exit 0");
    expect(proxy.asked.at(-1)).toBe(`cluster.test:${server.port}`);
    const excepted = await list({ token: "t" }, { ...named, env: { HTTPS_PROXY: url, NO_PROXY: ".test" } });
    expect([excepted.exitCode, excepted.stderr]).toEqual([15, expect.stringContaining("cannot reach")]);
  });

  it("trusts nobody that the kubeconfig's CA does not", async () => {
    const other = await startApiServer(join(directory, "other"), () => undefined);
    try {
      const file = writeContexts(join(directory, "wrong-ca"), {
        it: { port: server.port, caFile: other.ca.cert, user: { token: "secret-token" } },
      });
      server.seen.length = 0;
      const result = await runPath(builtPath("cdh-inspect"), ["ls", "--kube", "--kubeconfig", file]);
      expect([result.exitCode, result.stderr]).toEqual([15, expect.stringContaining("CDH_STORE_UNREACHABLE")]);
      // The token has not left this machine.
      expect(server.seen).toEqual([]);
      expect(result.stderr).not.toContain("secret-token");
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it("says when a cluster has no cdh-api", async () => {
    const bare = await startApiServer(join(directory, "bare"), () => undefined);
    try {
      const file = writeContexts(join(directory, "bare-config"), {
        it: { port: bare.port, caFile: bare.ca.cert, user: { token: "t" } },
      });
      const result = await runPath(builtPath("cdh-inspect"), ["ls", "--kube", "--kubeconfig", file]);
      expect([result.exitCode, result.stderr]).toEqual([12, expect.stringContaining("cdh-api is not there")]);
    } finally {
      await bare[Symbol.asyncDispose]();
    }
  });
});
