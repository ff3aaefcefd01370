import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findKubernetes } from "@cdh/core/kubernetes";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { startFakeApiServer, type FakeApiServer } from "../testing/fake-api-server.ts";
import { askUninstall, findOwnDaemonSet } from "./is-uninstall.ts";

const POD = "/api/v1/namespaces/observe/pods/cdh-x1";
const NAMESPACE = "/api/v1/namespaces/observe";
const DAEMON_SET = "/apis/apps/v1/namespaces/observe/daemonsets/cdh";

function withDaemonSet(server: FakeApiServer, metadata: Record<string, unknown> = {}): void {
  server.answers.set(POD, {
    status: 200,
    body: { metadata: { ownerReferences: [{ kind: "DaemonSet", name: "cdh" }] } },
  });
  server.answers.set(DAEMON_SET, { status: 200, body: { kind: "DaemonSet", metadata: { name: "cdh", ...metadata } } });
  server.answers.set(NAMESPACE, { status: 200, body: { kind: "Namespace", metadata: { name: "observe" } } });
}

/** Nothing is known beside the answers. */
const ALONE = { hasSuccessor: () => false };

const own = (server: FakeApiServer) => ({ access: server.access, namespace: "observe", name: "cdh" });

describe("findOwnDaemonSet", () => {
  it("finds it by the pod's owner, in the service account's namespace, with its token", async () => {
    await using server = await startFakeApiServer();
    withDaemonSet(server);
    expect(await findOwnDaemonSet(server.access, { podName: "cdh-x1" })).toEqual(own(server));
    expect(server.requests).toEqual([`GET ${POD} Bearer secret`, `GET ${DAEMON_SET} Bearer secret`]);
  });

  it("takes the name that is given", async () => {
    await using server = await startFakeApiServer();
    withDaemonSet(server);
    expect(await findOwnDaemonSet(server.access, { daemonSetName: "cdh" })).toEqual(own(server));
  });

  it("says why it does not know", async () => {
    await using server = await startFakeApiServer();
    const find = async (pod: Parameters<typeof findOwnDaemonSet>[1]): Promise<string> => {
      const found = await findOwnDaemonSet(server.access, pod);
      return "unknown" in found ? found.unknown : "known";
    };
    expect(await find({})).toContain("POD_NAME");
    expect(await find({ podName: "cdh-x1" })).toContain("the API server said 404: not found");
    server.answers.set(POD, { status: 200, body: { metadata: { ownerReferences: [{ kind: "ReplicaSet" }] } } });
    expect(await find({ podName: "cdh-x1" })).toContain("belongs to no DaemonSet");
    server.answers.set(DAEMON_SET, { status: 403, body: { message: "no" } });
    expect(await find({ daemonSetName: "cdh" })).toContain("403: no");
    rmSync(join(server.access.directory, "namespace"));
    expect(await find({ daemonSetName: "cdh" })).toContain("namespace");
  });
});

describe("askUninstall", () => {
  it("is an uninstall when the DaemonSet is gone or being deleted", async () => {
    await using server = await startFakeApiServer();
    expect(await askUninstall(own(server), jumpingClock(), ALONE)).toMatchObject({ uninstall: true });
    withDaemonSet(server, { deletionTimestamp: "2026-01-01T00:00:00Z" });
    expect(await askUninstall(own(server), jumpingClock(), ALONE)).toEqual({
      uninstall: true,
      reason: "DaemonSet observe/cdh is being deleted since 2026-01-01T00:00:00Z",
    });
  });

  it("is none when the DaemonSet exists", async () => {
    await using server = await startFakeApiServer();
    withDaemonSet(server);
    expect(await askUninstall(own(server), jumpingClock(), ALONE)).toEqual({
      uninstall: false,
      reason: "DaemonSet observe/cdh exists",
    });
  });

  it.each([
    ["a 404 that is not the API server's", 404, "<html>not found</html>"],
    ["a server error", 500, { message: "etcd" }],
    ["a body that is no JSON", 200, "{"],
    ["no right to ask", 403, { message: "forbidden" }],
    ["an account that is not known any more: it may have been renamed", 401, { message: "Unauthorized" }],
    ["an answer that is no DaemonSet", 200, { kind: "Status" }],
  ])("is none on doubt: %s", async (_name, status, body) => {
    await using server = await startFakeApiServer();
    server.answers.set(DAEMON_SET, { status, body });
    expect(await askUninstall(own(server), jumpingClock(), ALONE)).toMatchObject({ uninstall: false });
  });

  it("is one when the account has gone and the release's RoleBinding was deleted", async () => {
    await using server = await startFakeApiServer();
    server.answers.set(DAEMON_SET, { status: 401, body: {} });
    const release = { bindingDeleted: false };
    let sleeps = 0;
    const clock = jumpingClock(0, () => {
      sleeps += 1;
      // The word of it may come a little later than the signal.
      if (sleeps === 3) release.bindingDeleted = true;
    });
    const verdict = await askUninstall(own(server), clock, { ...ALONE, release });
    expect(verdict).toMatchObject({ uninstall: true, reason: expect.stringContaining("RoleBinding") as string });
  });

  it("is one when the namespace is being deleted, though the DaemonSet is still there", async () => {
    await using server = await startFakeApiServer();
    withDaemonSet(server);
    const metadata = { name: "observe", deletionTimestamp: "2026-01-01T00:00:00Z" };
    server.answers.set(NAMESPACE, { status: 200, body: { kind: "Namespace", metadata } });
    expect(await askUninstall(own(server), jumpingClock(), ALONE)).toEqual({
      uninstall: true,
      reason: "namespace observe is being deleted since 2026-01-01T00:00:00Z",
    });
  });

  it("asks again when nobody answers at first", async () => {
    await using server = await startFakeApiServer();
    server.answers.set(DAEMON_SET, { status: 503, body: {} });
    let sleeps = 0;
    const clock = jumpingClock(0, () => {
      sleeps += 1;
      if (sleeps === 4) server.answers.delete(DAEMON_SET);
    });
    expect(await askUninstall(own(server), clock, ALONE)).toMatchObject({ uninstall: true });
  });

  it("is none when the pod of another DaemonSet takes the node over: the release was given another name", async () => {
    await using server = await startFakeApiServer();
    let sleeps = 0;
    const clock = jumpingClock(0, () => (sleeps += 1));
    expect(await askUninstall(own(server), clock, { hasSuccessor: () => sleeps > 10 })).toEqual({
      uninstall: false,
      reason: "another cdh-sysctl looks after this node",
    });
  });

  it("trusts no server that the cluster's CA has not signed, and survives one that is not there", async () => {
    await using server = await startFakeApiServer();
    await using other = await startFakeApiServer();
    const stranger = { ...server.access, port: other.access.port };
    expect(await askUninstall({ ...own(server), access: stranger }, jumpingClock(), ALONE)).toMatchObject({
      uninstall: false,
    });
    expect(other.requests).toEqual([]);
    const nowhere = { ...server.access, port: 1 };
    expect(await askUninstall({ ...own(server), access: nowhere }, jumpingClock(), ALONE)).toMatchObject({
      uninstall: false,
    });
  });

  it("reads the token anew each time: it is replaced every hour", async () => {
    await using server = await startFakeApiServer();
    writeFileSync(join(server.access.directory, "token"), "second");
    await askUninstall(own(server), jumpingClock(), ALONE);
    expect(server.requests).toEqual([`GET ${DAEMON_SET} Bearer second`]);
  });
});

describe("findKubernetes", () => {
  it("knows the API server from the environment", () => {
    expect(findKubernetes({ KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "6443" }, "/d")).toEqual({
      host: "10.0.0.1",
      port: 6443,
      directory: "/d",
    });
    expect(findKubernetes({})).toBeUndefined();
  });
});
