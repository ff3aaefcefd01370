import { describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { parseKeyTemplate } from "./object-key.ts";

const VALUES = {
  namespace: "team-a",
  name: "N",
  node: "node-1",
  cluster: "blue",
  pod: "web",
  signal: "SIGSEGV",
  date: "2026-11-21",
};

describe("parseKeyTemplate", () => {
  it.each([
    ["{namespace}/{name}.zip", "team-a/N.zip", "team-a/N.manifest.json"],
    ["{{namespace}}/{{ name }}.zip", "team-a/N.zip", "team-a/N.manifest.json"],
    [
      "x-{cluster}/{node}/{date}/{signal}/{pod}-{name}.zip",
      "x-blue/node-1/2026-11-21/SIGSEGV/web-N.zip",
      "x-blue/node-1/2026-11-21/SIGSEGV/web-N.manifest.json",
    ],
  ])("renders %s", (template, bundleKey, manifestKey) => {
    const stem = bundleKey.replace(/\.zip$/, "");
    expect(parseKeyTemplate(template).render(VALUES)).toEqual({ bundleKey, manifestKey, stem });
  });

  it("keeps values inside of their part of the key", () => {
    const { bundleKey } = parseKeyTemplate("{namespace}/{name}.zip").render({
      ...VALUES,
      namespace: "../../etc",
      name: "a/b",
    });
    expect(bundleKey).toBe("__.._etc/a_b.zip");
  });

  it.each(["{name}", "{namespace}.zip", "/{name}.zip", "{nope}/{name}.zip", "{namespace/{name}.zip", ""])(
    "refuses %j",
    (template) => {
      expect(() => parseKeyTemplate(template)).toThrow(CdhError);
    },
  );
});
