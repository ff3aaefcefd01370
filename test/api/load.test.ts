import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeManifest, makeTinyCore } from "../../packages/core/src/testing/sample-bundle.ts";
import { notBuilt } from "../helpers/built.ts";
import { programOf, residentBytes } from "../helpers/resident.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, expectSoon, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-load");
const COUNT = 8000;
const NAMESPACES = 8;
const MIB = 1024 * 1024;
const token = "admins-token";
const ALL = `${BASE}/coredumps`;
const DAY = Date.parse("2026-11-20T00:00:00Z");

interface List {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: { metadata: { name: string; namespace: string }; spec: { crashedAt: string } }[];
}

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "cdh-api with thousands of dumps", () => {
  let bench: Workbench;
  let before: List;
  let pid: number;

  /** Write manifests as the uploader leaves them; the crash of each is a second after the one before. */
  const fill = (): void => {
    const core = makeTinyCore(64);
    for (let index = 0; index < COUNT; index += 1) {
      const namespace = `team-${index % NAMESPACES}`;
      const crashId = `5d2f0c1e-8a4b-4c6d-9e7f-${index.toString(16).padStart(12, "0")}`;
      const stem = `${crashId}-dump-${index}-web-server-1-11`;
      const manifest = makeManifest(core, 40, {
        crashId,
        bundle: `${stem}.zip`,
        crashedAt: new Date(DAY + index * 1000).toISOString(),
        pod: { name: `web-${index}`, namespace, uid: crashId, owner: { kind: "Deployment", name: "web" } },
        identity: { source: "oci-config", verified: true },
      });
      writeFileSync(join(directory, "all", namespace, `${stem}.manifest.json`), JSON.stringify(manifest));
    }
  };
  const open = (path: string, headers = {}): Promise<IncomingMessage> => bench.open(path, { token, headers });
  const list = async (path: string): Promise<List> => {
    const answer = await bench.ask(path, { token });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body.toString()}`);
    return answer.json<List>();
  };

  beforeAll(async () => {
    bench = await startWorkbench(directory, { env: { REFRESH_INTERVAL: "1s", RIGHTS_CACHE: "60s" } });
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.tokens.set("anothers-token", { user: "another", audiences: [AUDIENCE] });
    bench.cluster.grants = ["admin", "another"].map((user) => ({
      user,
      verbs: ["*"],
      resources: ["*"],
      namespaces: ["*"],
    }));
    pid = programOf(bench.server, "cdh-api.mjs");
    for (let index = 0; index < NAMESPACES; index += 1)
      mkdirSync(join(directory, "all", `team-${index}`), { recursive: true });
    fill();
    before = await list(ALL);
    // All at once: a listing that found some of them would be followed by a long pause.
    renameSync(join(directory, "all"), join(bench.storeDir, "all"));
    await expectSoon("all are listed", async () => (await bench.metric("cdh_api_dumps")) === COUNT, 100_000);
  }, 180_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("a watch that was away for all of them is told of each, at its own pace", async () => {
    const { resourceVersion } = before.metadata;
    const watching = await open(`${ALL}?watch=true&resourceVersion=${resourceVersion}`);
    const seen = new Set<string>();
    let rest = "";
    for await (const chunk of watching) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) seen.add((JSON.parse(line) as { object: List["items"][0] }).object.metadata.name);
      if (seen.size === COUNT) break;
      if (seen.size < 40) await delay(20);
    }
    expect(seen.size).toBe(COUNT);
  });

  it("lists and watches of slow and dead readers take no memory", async () => {
    const whole = await bench.ask(ALL, { token });
    const resident = residentBytes(pid, "VmRSS");
    const stalled = await Promise.all([
      ...Array.from({ length: 66 }, () => open(ALL)),
      ...Array.from({ length: 100 }, () => open(`${ALL}?watch=true&resourceVersion=0`)),
    ]);
    for (const message of stalled) {
      message.on("error", () => {});
      message.pause();
      message.socket.pause();
    }
    // So many long answers for one user, and no more: an answer that is not taken keeps its place.
    expect(stalled.filter(({ statusCode }) => statusCode === 429).length).toBe(2);
    await expectSoon("all of them watch", async () => (await bench.metric("cdh_api_watchers")) === 100);
    const mine = { token: "anothers-token" };
    const [one, other] = (await Promise.all([bench.ask(ALL, mine), bench.ask(ALL, mine)])).map((answer) =>
      answer.json<List>(),
    );
    if (one === undefined || other === undefined) throw new Error("two answers");
    expect([one.items.length, other.items.length]).toEqual([COUNT, COUNT]);
    const peak = residentBytes(pid, "VmHWM");
    console.log(
      `lists of ${(whole.body.length / MIB).toFixed(0)} MiB: ${(resident / MIB).toFixed(0)} MiB resident, ${(peak / MIB).toFixed(0)} at most with 164 readers that take nothing`,
    );
    // Each holds what a connection's buffers hold, and one piece. All that they asked for would be 1.2 GiB. The peak is
    // bounded, not the growth: a program that begins with less has no less room. The chart gives it 256 MiB; on a quiet machine
    // it takes 225, on one whose processors are taken what is collected late comes on top.
    for (const message of stalled) message.destroy();
    expect(peak).toBeLessThan(250 * MIB);
    await expectSoon("the watches are over", async () => (await bench.metric("cdh_api_watchers")) === 0);
  }, 180_000);

  it("a long list is compressed for who takes that, a short one is not", async () => {
    const plain = await bench.ask(ALL, { token });
    const packed = await open(ALL, { "accept-encoding": "br, gzip" });
    expect(packed.headers).toMatchObject({ "content-encoding": "gzip", vary: "accept-encoding" });
    const chunks: Buffer[] = [];
    let taken = 0;
    packed.on("data", (chunk: Buffer) => (taken += chunk.length));
    for await (const chunk of packed.pipe(createGunzip())) chunks.push(chunk as Buffer);
    expect(JSON.parse(Buffer.concat(chunks).toString())).toEqual(plain.json());
    expect(taken).toBeLessThan(plain.body.length / 10);
    for (const [path, accepted] of [
      [`${ALL}?limit=10`, "gzip"],
      [ALL, "gzip;q=0, identity"],
      [ALL, "br"],
    ] as const) {
      const answer = await open(path, { "accept-encoding": accepted });
      expect(answer.headers["content-encoding"]).toBeUndefined();
      answer.destroy();
    }
  });

  it("order=newest goes over all namespaces in pages, and since ends it", async () => {
    const names: string[] = [];
    let remaining: number | undefined;
    for (let from = ""; ;) {
      const page = await list(`${ALL}?order=newest&limit=3000${from === "" ? "" : `&continue=${from}`}`);
      remaining ??= page.metadata.remainingItemCount;
      names.push(...page.items.map(({ metadata }) => metadata.name));
      from = page.metadata.continue ?? "";
      if (from === "") break;
    }
    expect([remaining, names.length, new Set(names).size]).toEqual([COUNT - 3000, COUNT, COUNT]);
    expect(names).toEqual(names.toSorted().toReversed());
    const since = new Date(DAY + (COUNT - 100) * 1000).toISOString();
    const last = await list(`${ALL}?since=${since}&limit=30`);
    expect([last.items.length, last.metadata.remainingItemCount]).toEqual([30, 70]);
    expect(last.items[0]?.metadata.name).toBe(names[0]);
    const own = await list(`${BASE}/namespaces/team-3/coredumps?since=${since}`);
    expect(own.items.length).toBe(Math.ceil(100 / NAMESPACES) - 1);
    for (const wrong of ["order=oldest", "since=yesterday", "since=2026"]) {
      expect((await bench.ask(`${ALL}?${wrong}`, { token })).status).toBe(400);
    }
  });
});
