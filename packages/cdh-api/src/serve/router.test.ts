import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { aggregatedDiscovery, apiResourceList } from "../kube/discovery.ts";
import { openApiV2, openApiV3 } from "../kube/openapi.ts";
import { koredumpOpenApi } from "../rest/koredump-openapi.ts";
import { ROUTES } from "../routes.ts";
import { findRoute } from "./router.ts";

const page = fs.readFileSync(path.resolve(import.meta.dirname, "../../../../docs/reference/api.md"), "utf8");

function find(method: string, target: string): ReturnType<typeof findRoute> {
  const url = new URL(target, "https://cdh-api");
  const segments = url.pathname
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  return findRoute({ method, segments, query: url.searchParams });
}

const filled = (template: string): string => template.replaceAll(/\{(\w+)\}/g, "a%2F$1");

/** `METHOD path` of everything in an OpenAPI document. */
function operationsOf(document: Record<string, unknown>): string[] {
  return Object.entries(document["paths"] as Record<string, Record<string, unknown>>)
    .flatMap(([at, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${at}`))
    .sort();
}

describe("the table of routes", () => {
  it.each(ROUTES.map((route) => [route.id, route] as const))("%s is found by its path and method", (_id, route) => {
    const query = route.flag === undefined ? "" : `?${route.flag}=1`;
    const found = find(route.method, filled(route.path) + query);
    expect(found.route.id).toBe(route.id);
    const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
    expect(Object.fromEntries(found.parameters)).toEqual(Object.fromEntries(names.map((name) => [name, `a/${name}`])));
    if (route.method === "GET") expect(find("HEAD", filled(route.path) + query).route.id).toBe(route.id);
    expect(() => find("PUT", filled(route.path))).toThrow(expect.objectContaining({ status: 405 }));
  });

  it.each(["/nothing", "/apis/other.dev", "/apiv1", "/apiv1/cores/metadata/n", "/healthz/more", "/page/a/b"])(
    "nothing is at %s",
    (target) => expect(() => find("GET", target)).toThrow(expect.objectContaining({ status: 404 })),
  );

  it("says which methods a path takes", () => {
    const some = "/apis/core-dump-handler.dev/v1alpha1/namespaces/shop/coredumps";
    expect(() => find("POST", some)).toThrow(expect.objectContaining({ headers: { allow: "GET, DELETE" } }));
    expect(() => find("POST", `${some}/x`)).toThrow(
      expect.objectContaining({ headers: { allow: "DELETE, GET, PATCH" } }),
    );
    expect(() => find("GET", `${some}/x/link`)).toThrow(expect.objectContaining({ headers: { allow: "POST" } }));
  });

  it("watch=0 is a list", () => {
    expect(find("GET", "/apis/core-dump-handler.dev/v1alpha1/coredumps?watch=0").route.counted).toBe("list");
    expect(find("GET", "/apis/core-dump-handler.dev/v1alpha1/coredumps?watch=true").route.counted).toBe("watch");
  });

  it("declares each part of a path as a parameter", () => {
    for (const route of ROUTES) {
      if (route.id === "pageFile") continue;
      const inPath = route.parameters.filter((one) => one.in === "path").map(({ name }) => `{${name}}`);
      expect(route.path.match(/\{\w+\}/g) ?? [], route.id).toEqual(inPath);
    }
  });

  it("is what both OpenAPI documents of the Kubernetes API show", () => {
    const wanted = ROUTES.filter((route) => route.kubernetes !== undefined && route.flag === undefined)
      .map(({ method, path: at }) => `${method} ${at}`)
      .sort();
    expect(wanted).toHaveLength(14);
    expect(operationsOf(openApiV2())).toEqual(wanted);
    expect(operationsOf(openApiV3())).toEqual(wanted);
  });

  it("is what the REST document shows", () => {
    const wanted = ROUTES.filter(({ isKoredumps }) => isKoredumps).map(({ method, path: at }) => `${method} ${at}`);
    expect(operationsOf(koredumpOpenApi())).toEqual(wanted.sort());
    for (const { path: at } of ROUTES) {
      if (at.startsWith("/apiv1/"))
        expect(
          wanted.some((text) => text.endsWith(at)),
          at,
        ).toBe(true);
    }
  });

  it("is what discovery names, but for what deletes", () => {
    const named = (apiResourceList()["resources"] as { name: string; verbs: string[] }[]).flatMap(({ name, verbs }) =>
      verbs.map((verb) => `${verb} ${name}`),
    );
    const wanted = ROUTES.flatMap(({ kubernetes, right }) => {
      if (kubernetes === undefined || !("verb" in right) || right.verb.startsWith("delete")) return [];
      return [
        `${right.verb} ${right.resource ?? "coredumps"}${right.subresource === undefined ? "" : `/${right.subresource}`}`,
      ];
    });
    expect(named.sort()).toEqual([...new Set(wanted)].sort());
    const [group] = aggregatedDiscovery("v2")["items"] as { versions: { resources: Record<string, unknown>[] }[] }[];
    const resource = group?.versions[0]?.resources[0];
    expect(resource?.["verbs"]).toEqual(["get", "list", "patch", "watch"]);
    expect(((resource?.["subresources"] ?? []) as { subresource: string }[]).map((one) => one.subresource)).toEqual([
      "bundle",
      "core",
      "report",
      "link",
    ]);
  });

  it("is what docs/reference/api.md lists: rights, paths and the metrics' label", () => {
    for (const { id, right, path: at, counted } of ROUTES) {
      expect(page, `${id}'s label`).toContain(`\`${counted}\``);
      if (id === "page" || id === "pageFile" || id === "apiVersions" || at.startsWith("/apis")) continue;
      expect(page, id).toContain(at.replace("{node}", "<node>").replace("{id}", "<id>"));
      if ("verb" in right && right.subresource !== undefined)
        expect(page).toContain(`\`${right.resource ?? "coredumps"}/${right.subresource}\``);
    }
    const label = /\(`route`: ([^)]*)\)/.exec(page)?.[1]?.match(/(?<=`)\w+(?=`)/g);
    expect(label?.sort()).toEqual([...new Set([...ROUTES.map(({ counted }) => counted), "none"])].sort());
    const verbs = new Set(ROUTES.flatMap(({ right }) => ("verb" in right ? [right.verb] : [])));
    for (const verb of verbs) expect(page).toContain(`\`${verb}\``);
  });
});
