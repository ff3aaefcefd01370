import { describe, expect, it } from "vitest";
import { parseLocation } from "../find/location.ts";
import { parseCoreDump, pathOf } from "./coredumps.ts";
import { proxyOf } from "./kubeconfig.ts";
import { clusterUrl, rewriteCounts, startedAsPlugin } from "./plugin.ts";
import { labelOf, parseMetrics, sumOf, valueOf } from "./prometheus.ts";

describe("the plugin's names", () => {
  it("is kubectl's plugin under kubectl's name for it, however it is packed", () => {
    for (const name of ["kubectl-coredump", "/usr/bin/kubectl_coredump", "/n/bin/kubectl-coredump.mjs"])
      expect(startedAsPlugin(name)).toBe(true);
    for (const name of [undefined, "", "/usr/bin/cdh-inspect", "/x/cdh-inspect.mjs", "kubectl-coredumps"])
      expect(startedAsPlugin(name)).toBe(false);
  });

  it("takes -1 and the like for crashes, and leaves options alone", () => {
    expect(rewriteCounts(["get", "-1", "-n", "shop", "--tail=-1", "-d"])).toEqual([
      "get",
      "~1",
      "-n",
      "shop",
      "--tail=-1",
      "-d",
    ]);
  });

  it.each([
    ["web-0", undefined, "kube:///web-0"],
    ["web-0", "shop", "kube://shop/web-0"],
    ["shop/web-0", undefined, "kube://shop/web-0"],
    ["pod/web-0", "shop", "kube://shop/web-0"],
    ["po/web-0", undefined, "kube:///web-0"],
    ["~2", "shop", "kube://shop/~2"],
    ["", undefined, "kube:///"],
    ["s3://cores/x", "shop", "s3://cores/x"],
  ])("reads %j in %j as %s", (text, namespace, url) => {
    expect(clusterUrl(text, namespace)).toBe(url);
  });

  it("reads kube:// and refuses what has more parts", () => {
    expect(parseLocation("kube://shop/web-0")).toEqual({ kind: "kube", namespace: "shop", name: "web-0" });
    expect(parseLocation("kube:///web-0")).toEqual({ kind: "kube", name: "web-0" });
    expect(parseLocation("kube://shop/")).toEqual({ kind: "kube", namespace: "shop", name: "" });
    // No name leaves its place in the path.
    for (const wrong of ["kube://a/b/c", "kube://../x", "kube://shop/..", "kube://./.."])
      expect(() => parseLocation(wrong)).toThrow(expect.objectContaining({ code: "CDH_CONFIG_INVALID" }));
    const path = pathOf("../..", "a/../b?c#d", "bundle");
    expect(new URL(path, "https://cluster").pathname).toBe(path);
    expect(path.split("/")).toHaveLength(9);
  });
});

describe("parseMetrics", () => {
  it("reads values and labels, and leaves out what is no sample", () => {
    const samples = parseMetrics(
      '# HELP a b\na 1\na_total{x="1",y="q\\"\\n"} 2\na_total{x="2"} 3 1700000000\n\nbroken{ 1\nnan NaN\nword x\n',
    );
    expect(valueOf(samples, "a")).toBe(1);
    expect(sumOf(samples, "a_total")).toBe(5);
    expect(labelOf(samples, "a_total", "y")).toBe('q"\n');
    expect(valueOf(samples, "nothing")).toBeUndefined();
    expect(samples).toHaveLength(3);
  });
});

describe("parseCoreDump", () => {
  it("makes a manifest of a summary, and of nothing", () => {
    const dump = parseCoreDump({
      metadata: { name: "c1", namespace: "shop", creationTimestamp: "2026-11-21T08:00:00Z" },
      spec: { signal: { number: 11, name: "SIGSEGV" }, core: { compression: "zstd", truncatedBy: "rlimit" } },
      status: { bundle: { name: "n.zip", sizeBytes: 7 }, core: { sizeBytes: 9, storedBytes: 5 }, complete: false },
    });
    expect(dump).toMatchObject({ name: "c1", namespace: "shop", bundle: "n.zip", bundleBytes: 7 });
    expect(dump.manifest).toMatchObject({
      crashedAt: "2026-11-21T08:00:00Z",
      core: { sizeBytes: 9, storedBytes: 5, complete: false, truncatedBy: "rlimit" },
      problems: [],
    });
    expect(parseCoreDump(undefined)).toMatchObject({ name: "", bundleBytes: 0, storedAt: 0 });
  });
});

describe("proxyOf", () => {
  const env = { HTTPS_PROXY: "http://proxy:3128", NO_PROXY: "internal.test, .corp.test" };
  it.each([
    ["https://cluster.test:6443", "http://proxy:3128"],
    ["https://api.internal.test", undefined],
    ["https://a.corp.test", undefined],
    ["https://127.0.0.1:6443", undefined],
    ["http://cluster.test", undefined],
  ])("for %s", (server, proxy) => {
    expect(proxyOf(new URL(server), env)).toBe(proxy);
  });
});
