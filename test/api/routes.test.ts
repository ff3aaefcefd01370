import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { putFile } from "@cdh/core/debug-files/put";
import { ROUTES, type NamedRoute } from "../../packages/cdh-api/src/routes.ts";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, putDump, startWorkbench, type AskOptions, type PutDump, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-routes");
const BUILD_ID = "44".repeat(20);

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "the table of routes and the server", () => {
  let bench: Workbench;
  const dumps: PutDump[] = [];
  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      prepare: async (store) => {
        for (let at = 0; at < 3; at += 1) dumps.push(await putDump(store));
        // Any program with sections will do: the server believes whoever stored it.
        const program = readFileSync("/usr/bin/env");
        const source = {
          sizeBytes: program.length,
          read: (at: number, length: number) => program.subarray(at, at + length),
        };
        for (const role of ["debuginfo", "dwp"] as const) {
          const file = { id: { buildId: BUILD_ID, role }, name: "env", hasCode: role === "debuginfo", source };
          await putFile(store, file, { draft: join(directory, "draft") });
        }
      },
    });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    bench.cluster.tokens.set("admins-token", { user: "admin", audiences: [AUDIENCE] });
  }, 60_000);
  let group = "";
  beforeAll(async () => {
    const { items } = (await bench.ask(`${BASE}/crashgroups`, { token: "admins-token" })).json<{
      items: { metadata: { name: string } }[];
    }>();
    group = items[0]?.metadata.name ?? "";
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  /** Each deletion has a dump of its own. */
  const targetOf = (route: NamedRoute): string => {
    const dump = (route.id === "restDelete" ? dumps[1] : dumps[0])?.name ?? "";
    const name = route.path.includes("/crashgroups/") ? group : dump;
    const known = { namespace: "shop", name, id: dump, node: "worker-3", file: "app.js" };
    const values: Record<string, string> = { ...known, buildid: BUILD_ID, section: ".text" };
    const more = route.path.endsWith("/metadata") ? "&key=file&value=env" : "";
    const query = route.flag === undefined ? `?dryRun=All${more}` : `?${route.flag}=1&timeoutSeconds=1`;
    return route.path.replaceAll(/\{(\w+)\}/g, (_all, key: string) => values[key] ?? "") + query;
  };
  const askedOf = (route: NamedRoute): AskOptions => ({
    method: route.method,
    ...(route.method === "PATCH" ? { body: {}, headers: { "content-type": "application/merge-patch+json" } } : {}),
    ...(route.method === "POST" ? { body: {} } : {}),
  });
  const countOf = async (route: NamedRoute, status: number): Promise<number> => {
    const count = await bench.metric(`cdh_api_requests_total{route="${route.counted}",status="${status}"}`);
    return Number.isNaN(count) ? 0 : count;
  };

  it.each(ROUTES.map((route) => [route.id, route] as const))(
    "%s answers what it says, to whom it says, and is counted",
    async (_id, route) => {
      const nobody = await bench.ask(targetOf(route), askedOf(route));
      const expected = Number(Object.keys(route.answers)[0]);
      expect(nobody.status).toBe(route.right.asked === "open" ? expected : 401);
      const before = await countOf(route, expected);
      const answer = await bench.ask(targetOf(route), { ...askedOf(route), token: "admins-token" });
      expect(answer.status).toBe(expected);
      expect(await countOf(route, expected)).toBe(before + 1);
      const type = answer.headers["content-type"]?.split(";")[0];
      const { schema, types } = route.answers[expected] ?? {};
      if (route.counted !== "page" && route.flag === undefined)
        expect(schema === undefined ? types : ["application/json"]).toContain(type);
      expect((await bench.ask(targetOf(route), { method: "PUT", token: "admins-token" })).status).toBe(405);
    },
  );

  it("shows the same routes in its documents and in discovery", async () => {
    const ask = async (path: string): Promise<Record<string, unknown>> =>
      (await bench.ask(path, { token: "admins-token" })).json();
    const shown = async (path: string): Promise<string[]> =>
      Object.entries((await ask(path))["paths"] as Record<string, object>).flatMap(([at, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${at}`),
      );
    const wanted = (is: (route: NamedRoute) => boolean): string[] =>
      ROUTES.filter((route) => route.flag === undefined && is(route)).map(({ method, path }) => `${method} ${path}`);
    const kubernetes = wanted((route) => route.kubernetes !== undefined).sort();
    expect((await shown("/openapi/v2")).sort()).toEqual(kubernetes);
    expect((await shown(`/openapi/v3${BASE}`)).sort()).toEqual(kubernetes);
    expect((await shown("/apiv1/openapi.json")).sort()).toEqual(wanted((route) => route.isKoredumps === true).sort());
    const { resources } = await ask(BASE);
    expect(
      (resources as { name: string; verbs: string[] }[]).map(({ name, verbs }) => `${name} ${verbs.join()}`),
    ).toEqual([
      "coredumps get,list,patch,watch",
      "coredumps/bundle get",
      "coredumps/core get",
      "coredumps/report get",
      "coredumps/link create",
      "crashgroups get,list,patch,watch",
    ]);
  });

  it("a list with watch=0 is counted as a list", async () => {
    const list = ROUTES.find(({ id }) => id === "listCoreDumpForAllNamespaces");
    if (list === undefined) throw new Error("no such route");
    const before = await countOf(list, 200);
    expect((await bench.ask(`${BASE}/coredumps?watch=0`, { token: "admins-token" })).status).toBe(200);
    expect(await countOf(list, 200)).toBe(before + 1);
  });
});
