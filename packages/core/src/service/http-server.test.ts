import { afterEach, describe, expect, it } from "vitest";
import { daemonRoutes, parseListenAddress, startHttpServer, type HttpServer } from "./http-server.ts";
import { createMetrics } from "./metrics.ts";

const running: HttpServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.close();
});

describe("parseListenAddress", () => {
  it.each([
    [":9100", { host: undefined, port: 9100 }],
    ["9100", { host: undefined, port: 9100 }],
    ["127.0.0.1:0", { host: "127.0.0.1", port: 0 }],
    ["[::1]:80", { host: "::1", port: 80 }],
    ["localhost:80", { host: "localhost", port: 80 }],
  ])("reads %j", (text, expected) => expect(parseListenAddress(text)).toEqual(expected));

  it.each(["", "host", ":", ":99999", "::1:80", "a:b"])("refuses %j", (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: "CDH_CONFIG_INVALID" }));
  });
});

describe("startHttpServer", () => {
  it("serves health and metrics, and nothing else", async () => {
    const health = { ok: true, reasons: [] as string[] };
    const metrics = createMetrics();
    metrics.counter("x_total", "X.").inc();
    const server = await startHttpServer(
      "127.0.0.1:0",
      daemonRoutes(() => health, metrics),
    );
    running.push(server);
    const get = (path: string, init?: RequestInit): Promise<Response> =>
      fetch(`http://127.0.0.1:${server.port}${path}`, init);
    expect(await (await get("/healthz?verbose")).text()).toBe("ok\n");
    health.ok = false;
    health.reasons.push("self-test failed");
    const ill = await get("/healthz");
    expect([ill.status, await ill.text()]).toEqual([503, "self-test failed\n"]);
    const scraped = await get("/metrics");
    expect(scraped.headers.get("content-type")).toContain("version=0.0.4");
    expect(await scraped.text()).toContain("x_total 1\n");
    expect((await get("/__proto__")).status).toBe(404);
    expect((await get("/metrics", { method: "POST" })).status).toBe(405);
  });

  it("says on which address it cannot listen", async () => {
    const first = await startHttpServer("127.0.0.1:0", {});
    running.push(first);
    await expect(startHttpServer(`127.0.0.1:${first.port}`, {})).rejects.toMatchObject({ code: "CDH_ENVIRONMENT" });
  });

  it("answers 500 when a route fails", async () => {
    const server = await startHttpServer("127.0.0.1:0", {
      "/": () => {
        throw new Error("no");
      },
    });
    running.push(server);
    expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(500);
  });
});
