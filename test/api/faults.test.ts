import { randomBytes } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeManifest, makeTinyCore } from "../../packages/core/src/testing/sample-bundle.ts";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { programOf, residentBytes } from "../helpers/resident.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type PutDump, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-faults");
const LIST = `${BASE}/namespaces/shop/coredumps`;
const SMALL_BYTES = 3 * 1024 * 1024;
/** More than a connection's buffers hold in the kernels of both sides. */
const BIG_BYTES = 32 * 1024 * 1024;
const token = "admins-token";

interface List {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: { metadata: { name: string; namespace: string } }[];
}

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "cdh-api when things go wrong", () => {
  let bench: Workbench;
  let dump: PutDump;
  let big: string;
  let small: string;
  let bigBytes: Buffer;

  const admit = (one: Workbench): void => {
    one.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    one.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  };
  /** A server of its own with one big dump. @returns it, and the path of that bundle */
  const startWithOne = async (name: string, env: Record<string, string>): Promise<{ own: Workbench; path: string }> => {
    const own = await startWorkbench(join(directory, name), {
      env,
      prepare: async (store) => {
        const one = await putDump(store, { namespace: "big", crashId: "wanted" });
        await store.putBytes(`${one.stem}.zip`, bigBytes, { overwrite: true });
      },
    });
    admit(own);
    return { own, path: `${BASE}/namespaces/big/coredumps/wanted/bundle` };
  };
  const names = async (path = LIST): Promise<string[]> =>
    (await bench.ask(path, { token })).json<List>().items.map((item) => item.metadata.name);

  beforeAll(async () => {
    bigBytes = randomBytes(BIG_BYTES);
    bench = await startWorkbench(directory, {
      env: { REFRESH_INTERVAL: "1s", DOWNLOADS_MAX: "404", RIGHTS_CACHE: "5s" },
      prepare: async (store) => {
        dump = await putDump(store);
        const one = await putDump(store, { namespace: "big" });
        big = one.name;
        await store.putBytes(`${one.stem}.zip`, bigBytes, { overwrite: true });
        const other = await putDump(store, { namespace: "big" });
        small = other.name;
        await store.putBytes(`${other.stem}.zip`, bigBytes.subarray(0, SMALL_BYTES), { overwrite: true });
      },
    });
    admit(bench);
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("garbage in place of a manifest is left out and counted; what is put right is listed", async () => {
    const deep = `${"[".repeat(5000)}${"]".repeat(5000)}`;
    const good = makeManifest(makeTinyCore(), 100);
    const garbage: (string | Buffer)[] = [
      "",
      "{",
      "null",
      "[]",
      '"text"',
      "{}",
      deep,
      randomBytes(5000),
      JSON.stringify({ ...good, schemaVersion: 2 }),
      JSON.stringify({ ...good, pod: "worker" }),
      JSON.stringify({ ...good, problems: { length: 1e9 } }),
      JSON.stringify({ ...good, crashId: 5 }),
      Buffer.alloc(17 * 1024 * 1024, "{"),
    ];
    for (const [index, body] of garbage.entries()) {
      await bench.store.putBytes(`shop/garbage-${index}.manifest.json`, Buffer.from(body), { overwrite: true });
    }
    await expectSoon(
      "all are counted",
      async () => (await bench.metric("cdh_api_garbage_manifests")) === garbage.length,
    );
    expect(await names()).toEqual([dump.name]);
    const right = {
      ...good,
      crashId: "put-right",
      identity: { source: "kubelet", verified: true },
      pod: { namespace: "shop" },
    };
    await bench.store.putBytes("shop/garbage-0.manifest.json", Buffer.from(JSON.stringify(right)), { overwrite: true });
    await expectSoon("it is listed", async () => (await names()).includes("put-right"));
    for (let index = 0; index < garbage.length; index += 1)
      await bench.store.delete(`shop/garbage-${index}.manifest.json`);
    await expectSoon("nothing is left of them", async () => (await bench.metric("cdh_api_garbage_manifests")) === 0);
    expect(await names()).toEqual([dump.name]);
  });

  it("hostile texts in a manifest stay texts", async () => {
    const nasty = "\u001b[31m'\"<script>\u202e\n\0";
    const { name } = await putDump(bench.store, {
      process: { comm: nasty, exe: `/x/${nasty}` },
      pod: { name: nasty, namespace: "shop", labels: { [nasty]: nasty } },
      signal: { number: 11, name: nasty },
    });
    await expectSoon("it is listed", async () => (await names()).includes(name));
    const object = (await bench.ask(`${LIST}/${name}`, { token })).json<{
      metadata: { labels: Record<string, string> };
    }>();
    for (const value of Object.values(object.metadata.labels))
      expect(value).toMatch(/^[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$/);
    const html = await bench.ask(`${LIST}/${name}/report?format=html`, { token });
    expect([html.status, html.body.includes("<script>")]).toEqual([200, false]);
    await bench.ask(`${LIST}/${name}`, { token, method: "DELETE" });
  });

  it("what is not proven to be a tenant's is shown to administrators only", async () => {
    const kinds = {
      host: await putDump(bench.store, { namespace: "_host", pod: undefined as never }),
      restricted: await putDump(bench.store, { restricted: true }),
      dumpMode2: await putDump(bench.store, { process: { comm: "sudo", dumpMode: 2 } }),
      unverified: await putDump(bench.store, { identity: { source: "hostname", verified: false } }),
      unknown: await putDump(bench.store, { identity: undefined as never }),
      hostile: await putDump(bench.store, { pod: { name: "x", namespace: "../shop" } }),
    };
    const wanted = Object.values(kinds)
      .map(({ name }) => name)
      .toSorted();
    await expectSoon("they are listed", async () => {
      const found = await names(`${BASE}/namespaces/core-dump-handler-host/coredumps`);
      return JSON.stringify(found.toSorted()) === JSON.stringify(wanted);
    });
    expect(await names()).toEqual([dump.name]);
    for (const { name } of Object.values(kinds)) {
      expect((await bench.ask(`${LIST}/${name}/bundle`, { token, method: "HEAD" })).status).toBe(404);
    }
  });

  it("the API server is asked once in a while, not for each request; when it fails nobody is let in", async () => {
    bench.cluster.tokens.set("another", { user: "admin", audiences: [AUDIENCE] });
    const before = bench.cluster.asked.length;
    await Promise.all(Array.from({ length: 30 }, () => bench.ask(LIST, { token: "another" })));
    // One token review and at most one access review; some more where the machine is so slow that answers grow old.
    expect(bench.cluster.asked.length - before).toBeLessThanOrEqual(8);
    bench.cluster.failure = 500;
    try {
      const { status, body, headers } = await bench.ask(`${BASE}/coredumps`, { token: "unheard-of" });
      expect([status, headers["retry-after"]]).toEqual([503, "5"]);
      expect(JSON.parse(body.toString())).toMatchObject({ kind: "Status", reason: "ServiceUnavailable", code: 503 });
    } finally {
      bench.cluster.failure = undefined;
    }
  });

  it("200 downloads at a time with slow and dead readers among them: all whole, memory bounded", async () => {
    const pid = programOf(bench.server, "cdh-api.mjs");
    const before = residentBytes(pid, "VmRSS");
    const path = `${BASE}/namespaces/big/coredumps/${big}/bundle`;
    // One takes a little now and then, one takes nothing at all.
    const slow = await bench.open(path, { token });
    const dead = await bench.open(path, { token });
    dead.on("error", () => {});
    dead.pause();
    dead.socket.pause();
    let slowBytes = 0;
    let isSlowDone = false;
    const reading = (async () => {
      for await (const piece of slow) {
        slowBytes += (piece as Buffer).length;
        if (!isSlowDone) await delay(5);
      }
    })();
    const fast = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const message = await bench.open(path.replace(big, small), { token });
        let bytes = 0;
        for await (const piece of message) bytes += (piece as Buffer).length;
        return bytes;
      }),
    );
    expect(fast.every((bytes) => bytes === SMALL_BYTES)).toBe(true);
    isSlowDone = true;
    await reading;
    expect(slowBytes).toBe(BIG_BYTES);
    dead.destroy();
    await expectSoon("that it was cut is in the log", () =>
      bench.logged("download").some((line) => line["name"] === big && line["isWhole"] === false),
    );
    const peak = residentBytes(pid, "VmHWM");
    console.log(`202 downloads at a time: resident ${mib(before)} before, peak ${mib(peak)}`);
    expect(peak).toBeLessThan(256 * 1024 * 1024);
  }, 120_000);

  it("a client that takes nothing is cut off", async () => {
    const { own, path } = await startWithOne("stall", { STALL_TIMEOUT: "1s" });
    await using _server = own;
    const dead = await own.open(path, { token });
    dead.on("error", () => {});
    dead.pause();
    dead.socket.pause();
    await expectSoon("it is cut off", () => own.logged("download").length === 1);
    const [line] = own.logged("download");
    expect([line?.["isWhole"], Number(line?.["sentBytes"]) < BIG_BYTES]).toEqual([false, true]);
    await expectSoon("its place is free", async () => (await own.metric("cdh_api_downloads_running")) === 0);
    dead.destroy();
  }, 60_000);

  it("more downloads than allowed are told to come again", async () => {
    const { own, path } = await startWithOne("many", { DOWNLOADS_MAX: "4" });
    await using _server = own;
    const taken = [await own.open(path, { token }), await own.open(path, { token })];
    expect(taken.map((message) => message.statusCode)).toEqual([200, 200]);
    const { status, headers } = await own.ask(path, { token });
    expect([status, headers["retry-after"]]).toEqual([429, "2"]);
    for (const message of taken) message.on("error", () => {}).destroy();
    await expectSoon("there is room again", async () => (await own.metric("cdh_api_downloads_running")) === 0);
    expect((await own.ask(path, { token })).body.equals(bigBytes)).toBe(true);
  }, 60_000);

  it("connections that say nothing, or say it too slowly, are closed", async () => {
    const closed = (socket: NodeJS.EventEmitter): Promise<string> =>
      new Promise((resolve) => {
        socket.once("close", () => resolve("closed"));
        socket.on("error", () => {});
      });
    const silent = connectTcp({ host: "127.0.0.1", port: bench.port });
    const slow = connectTls({ host: "127.0.0.1", port: bench.port, ca: readFileSync(bench.cluster.ca.cert) }, () =>
      slow.write("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "),
    );
    silent.resume();
    slow.resume();
    expect(await Promise.all([closed(silent), closed(slow)])).toEqual(["closed", "closed"]);
  }, 40_000);

  it("hundreds of handshakes that are never finished keep nobody out", async () => {
    const silent = Array.from({ length: 400 }, () =>
      connectTcp({ host: "127.0.0.1", port: bench.port }).on("error", () => {}),
    );
    // The beginning of a handshake, and no more.
    for (const socket of silent) socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
    expect((await bench.ask(LIST, { token })).status).toBe(200);
    for (const socket of silent) socket.destroy();
  });

  it("neither HTTP/2 nor headers without end get anywhere", async () => {
    const ca = readFileSync(bench.cluster.ca.cert);
    const offered = await new Promise<string>((resolve) => {
      const socket = connectTls({ host: "127.0.0.1", port: bench.port, ca, ALPNProtocols: ["h2"] }, () => {
        resolve("connected");
        socket.destroy();
      });
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    expect(offered).toContain("NO_APPLICATION_PROTOCOL");
    const answers = await Promise.all(
      [
        // With prior knowledge: the preface, settings, and streams that are opened and reset at once.
        Buffer.concat([
          Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
          Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
          ...Array.from({ length: 500 }, (_, stream) =>
            Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 2 * stream + 1, 0, 0, 0, 8]),
          ),
        ]),
        Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(64 * 1024)}\r\n\r\n`),
        Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n${"X-Many: a\r\n".repeat(5000)}\r\n`),
      ].map(
        (bytes) =>
          new Promise<string>((resolve) => {
            let said = "";
            const socket = connectTls({ host: "127.0.0.1", port: bench.port, ca }, () => socket.write(bytes));
            socket.setEncoding("latin1").on("data", (text: string) => (said += text));
            socket.on("error", () => {});
            socket.on("close", () => resolve(said.slice(0, 12)));
          }),
      ),
    );
    expect(answers).toEqual(["HTTP/1.1 400", "HTTP/1.1 431", "HTTP/1.1 431"]);
    expect((await bench.ask(LIST, { token })).status).toBe(200);
  });

  it("another authority of the front proxy is taken while it runs, and the old one ends with it", async () => {
    const { client } = bench.cluster.frontProxy;
    const headers = { "X-Remote-User": "admin" };
    expect((await bench.ask(LIST, { client, headers })).status).toBe(200);
    const next = bench.cluster.rotateFrontProxy();
    await expectSoon(
      "the new one is let in",
      async () => (await bench.ask(LIST, { client: next, headers }).catch(() => undefined))?.status === 200,
      90_000,
    );
    expect((await bench.ask(LIST, { client, headers })).status).toBe(401);
  }, 120_000);

  describe("replicas and replacements", () => {
    it("a link of one replica works at another; a new certificate is taken without a restart", async () => {
      const second = { cert: join(directory, "second.crt"), key: join(directory, "second.key") };
      copyFileSync(bench.tls.cert, second.cert);
      copyFileSync(bench.tls.key, second.key);
      const port = await freePort();
      await using other = startTied(builtPath("cdh-api"), ["serve"], {
        env: {
          ...bench.cluster.env,
          STORE_URL: `file://${bench.storeDir}`,
          LISTEN_ADDR: `127.0.0.1:${port}`,
          TLS_CERT_FILE: second.cert,
          TLS_KEY_FILE: second.key,
          LOG_FORMAT: "json",
        },
      });
      const there: Workbench = { ...bench, port, ask: bench.askAt(port), server: other };
      await expectSoon("it is ready", async () => (await there.ask("/readyz").catch(() => undefined))?.status === 200);
      const made = await bench.ask(`${LIST}/${dump.name}/link`, { token, method: "POST", body: {} });
      const { url } = made.json<{ url: string }>();
      expect((await there.ask(url)).status).toBe(200);

      const serial = (): Promise<string> =>
        new Promise((resolve, reject) => {
          const socket = connectTls({ host: "127.0.0.1", port, ca: readFileSync(bench.cluster.ca.cert) }, () => {
            resolve(socket.getPeerCertificate().serialNumber);
            socket.end();
          });
          socket.on("error", reject);
        });
      const before = await serial();
      const fresh = bench.cluster.serverPair("renewed");
      copyFileSync(fresh.key, second.key);
      copyFileSync(fresh.cert, second.cert);
      await expectSoon("the new one is shown", async () => (await serial()) !== before);
      // Its key is another one, and links of the old key end with it.
      expect((await there.ask(url)).status).toBe(401);
    }, 60_000);

    it("SIGTERM lets a download end", async () => {
      const own = await startWorkbench(join(directory, "term"), {
        prepare: async (store) => {
          const one = await putDump(store, { namespace: "big", crashId: "to-the-end" });
          await store.putBytes(`${one.stem}.zip`, bigBytes, { overwrite: true });
        },
      });
      admit(own);
      const message = await own.open(`${BASE}/namespaces/big/coredumps/to-the-end/bundle`, { token });
      message.pause();
      const stopped = own.server.stop();
      await expectSoon("no new connection is taken", async () => {
        return (await own.ask("/healthz").catch(() => undefined)) === undefined;
      });
      let bytes = 0;
      for await (const piece of message) bytes += (piece as Buffer).length;
      expect(bytes).toBe(BIG_BYTES);
      await stopped;
      expect(await own.server.ended).toBe(0);
      await own.cluster[Symbol.asyncDispose]();
    }, 60_000);
  });
});

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`;
}
