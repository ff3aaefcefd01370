import { expect, it } from "vitest";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { notes, render, STORE } from "./helm.ts";

function rule(name: string): Record<string, unknown> {
  return { name, namespaces: ["team-a"], store: "s3://team-a" };
}

const CASES: [what: string, values: Record<string, unknown>, says: RegExp][] = [
  ["no store", {}, /there is no store: set store\.url .*upload\.enabled=false/],
  ["IBM's placeholder", { daemonset: { s3AccessKey: "XXX", s3Secret: "x" } }, /s3AccessKey is the placeholder XXX/],
  ["an image that nobody names", { image: { registry: "" } }, /image.registry is empty, so core-dump-handler would be/],
  [
    "an image of a search list",
    { image: { registry: "", repository: "team/core-dump-handler" } },
    /image.registry is empty, so team\/core-dump-handler would be/,
  ],
  ["IBM's image", { image: { registry: "quay.io", repository: "icdh/core-dump-handler" } }, /names IBM's image/],
  ["two volumes", { store: { pvc: { existingClaim: "a" }, nfs: { server: "b", path: "/c" } } }, /choose one/],
  ["a bucket and a volume", { store: { url: "s3://b", pvc: { existingClaim: "a" } } }, /is a bucket, but a volume/],
  ["two buckets", { store: { url: "s3://a/x", bucket: "b" } }, /two stores: store\.bucket, and store\.url/],
  ["a container and a bucket", { store: { url: "azblob://a", bucket: "b", azure: { account: "acc" } } }, /two stores/],
  ["a rule with the default's name", { store: { url: "s3://a", rules: [rule("default")] } }, /default is the name/],
  [
    "two rules of one name",
    { store: { url: "s3://a", rules: [rule("a"), rule("a")] } },
    /two rules have the same name/,
  ],
  [
    "a rule with a directory and no volume",
    { store: { url: "s3://a", rules: [{ ...rule("a"), store: "file:///x" }] } },
    /a is a directory, but there is no volume/,
  ],
  ["an NFS server alone", { store: { url: "", nfs: { server: "b" } } }, /store\.nfs\.path is needed/],
  ["a directory without a volume", { store: { url: "file:///x" } }, /there is no volume for it/],
  ["a key without its secret", { daemonset: { s3AccessKey: "a" } }, /without daemonset\.s3Secret/],
  ["two timetables", { daemonset: { interval: 5000, schedule: "* * * * *" } }, /set one of them to null/],
  ["one port twice", { node: { metricsPort: 9100 } }, /share their ports/],
  [
    "less time to stop than uploads have",
    { upload: { shutdownGrace: 60 } },
    /is 45, less than upload\.shutdownGrace \(60\)/,
  ],
];

const SCHEMA: [what: string, values: Record<string, unknown>, says: RegExp][] = [
  ["a misspelt value", { daemonset: { hostDirectroy: "/x" } }, /additional properties 'hostDirectroy' not allowed/],
  ["a misspelt group", { uplaod: {} }, /additional properties 'uplaod' not allowed/],
  ["a relative directory", { daemonset: { hostDirectory: "var/x" } }, /hostDirectory.*does not match pattern/],
  [
    "a directory that is longer than the kernel's line",
    { daemonset: { hostDirectory: `/${"a".repeat(120)}` } },
    /maxLength/,
  ],
  ["a port that is none", { upload: { metricsPort: 70_000 } }, /metricsPort.*maximum/],
  ["a profile that is none", { node: { profile: "windows" } }, /profile.*value must be one of/],
  ["a store that is none", { store: { url: "ftp://b" } }, /url.*does not match pattern/],
  ["a rule's misspelt key", { store: { rules: [{ ...rule("a"), secret: "x" }] } }, /additional properties 'secret'/],
  ["a rule's namespace that is none", { store: { rules: [{ ...rule("a"), namespaces: ["A"] }] } }, /match pattern/],
  ["a key template without the name", { store: { keyTemplate: "x" } }, /keyTemplate.*does not match pattern/],
  ["a tag and a digest that is none", { image: { digest: "latest" } }, /digest.*does not match pattern/],
  ["a text for a switch", { upload: { enabled: "yes" } }, /enabled.*got string, want boolean/],
];

describeUnless(missingTools("helm"), "values that cannot work", () => {
  it.each(CASES)("%s: refused, with what to do", (what, values, says) => {
    const base = what === "no store" || "store" in values ? {} : STORE;
    expect(render({ ...base, ...values }).refused).toMatch(says);
  });

  it.each(SCHEMA)("%s: refused by the schema", (_, values, says) => {
    expect(render({ ...STORE, ...values }).refused).toMatch(says);
  });

  it("are told all at once", () => {
    const { refused } = render({ daemonset: { s3AccessKey: "XXX", interval: 1000, schedule: "* * * * *" } });
    expect(refused.match(/^ {2}- /gm)).toHaveLength(3);
  });
});

describeUnless(missingTools("helm"), "the notes", () => {
  it("name the commands that tell how it goes", () => {
    const text = notes(STORE);
    expect(text).toContain("kubectl -n observe rollout status daemonset/cdh-core-dump-handler");
    expect(text).toContain("cdh-sysctl doctor");
    expect(text).toContain("cat /proc/sys/kernel/core_pattern");
    expect(text).not.toContain("Note:");
  });

  it("say what was ignored", () => {
    const text = notes({ ...STORE, hostStorage: "1Gi", daemonset: { includeCrioExe: true } });
    expect(text).toContain("includeCrioExe has no effect");
    expect(text).toContain("were ignored");
  });
});
