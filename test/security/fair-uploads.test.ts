import { execFileSync } from "node:child_process";
import { afterEach, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { startEventsApi } from "../upload/events-api.ts";
import { expectSoon, logLines, makeWorkbench, type Workbench } from "../upload/workbench.ts";

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function bench(env: Record<string, string> = {}): Promise<Workbench> {
  const work = await makeWorkbench(env);
  open.push(work);
  work.env["STORE_URL"] = `file://${work.directory}/store`;
  return work;
}

describeUnless(notBuilt("cdh-upload"), "one pod's many dumps, in the uploader", () => {
  it("do not hold up an older dump of another pod in the namespace", async () => {
    const work = await bench({ UPLOAD_CONCURRENCY: "1", LOG_LEVEL: "info" });
    const podOf = (name: string): object => ({ pod: { namespace: "shop", name, uid: `uid-of-${name}` } });
    const publish = async (pod: string, date?: string): Promise<string> => {
      const { path, name } = await work.publish({ coreBytes: 100, manifest: { ...podOf(pod) } });
      if (date !== undefined) execFileSync("touch", ["-d", date, path]);
      return name;
    };
    // Neither the oldest nor the newest: of a pod's own these two go first.
    for (let index = 0; index < 30; index += 1) await publish("loud", "2025-12-01");
    const calm: string[] = [];
    for (const pod of ["calm-1", "calm-2", "calm-3"]) calm.push(await publish(pod, "2026-01-01"));
    for (let index = 0; index < 30; index += 1) await publish("loud");
    const result = await work.sweep();
    expect(result.exitCode).toBe(0);
    const order = logLines(result.stderr)
      .filter((line) => line["msg"] === "uploaded")
      .map((line) => String(line["key"] ?? line["bundle"] ?? line["name"]));
    expect(order).toHaveLength(63);
    const places = calm.map((name) => order.findIndex((key) => key.includes(name)));
    // One is sent while the look goes on, then the four pods take turns; newest first these were 30 to 32.
    expect(Math.max(...places)).toBeLessThan(6);
  });
});

describeUnless(notBuilt("cdh-upload") ?? missingTools("openssl"), "one pod's many crashes, as Events", () => {
  it("are 25 writes and 11 objects, whatever the programs are named, and take none from another pod", async () => {
    const work = await bench();
    const api = await startEventsApi(work.directory);
    open.push(api);
    for (let index = 0; index < 60; index += 1) {
      const process = { pid: 100 + index, comm: "x", exe: `/tmp/x-${index}` };
      await work.publish({ namespace: "shop", pod: "loud", coreBytes: 100, manifest: { process } });
    }
    const pod = { namespace: "shop", name: "calm", uid: "1111" };
    await work.publish({ coreBytes: 100, manifest: { pod } });
    const child = work.run(api.env);
    await expectSoon("all is stored", async () => (await work.spool()).length === 0, { child });
    const podsOf = (): string[] =>
      [...api.events.values()].map((event) => (event["involvedObject"] as { name: string }).name);
    await expectSoon("the calm pod has its Event", () => podsOf().includes("calm"), { child });
    await child.stop();
    expect(podsOf().filter((name) => name === "loud")).toHaveLength(11);
    const writes = api.messages.filter(({ method, url }) => method !== "GET" && !url.includes("calm"));
    expect(writes.length).toBeLessThanOrEqual(26);
    const combined = [...api.events.values()].filter((event) =>
      String(event["message"]).startsWith("(combined from similar events): "),
    );
    expect(combined).toHaveLength(1);
    expect(combined[0]?.["count"]).toBe(15);
  });
});
