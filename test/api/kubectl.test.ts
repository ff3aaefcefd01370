import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { findKubectl, kubectlAt, type Kubectl } from "./kubectl.ts";
import {
  AUDIENCE,
  BASE,
  expectSoon,
  putDump,
  sha256,
  startWorkbench,
  type PutDump,
  type Workbench,
} from "./workbench.ts";

const directory = scratchDirectory("api-kubectl");
const missing = notBuilt("cdh-api") ?? missingTools("openssl") ?? findKubectl().reason;

describeUnless(missing, "the real kubectl, straight at the server", () => {
  let bench: Workbench;
  let dump: PutDump;
  let kubectl: Kubectl;

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      env: { REFRESH_INTERVAL: "1s" },
      prepare: async (store) => {
        dump = await putDump(store, { crashedAt: "2026-11-21T08:26:11.000Z" });
        await putDump(store, { namespace: "other" });
      },
    });
    bench.cluster.tokens.set("devs-token", { user: "dev", audiences: [AUDIENCE] });
    bench.cluster.grants = [
      {
        user: "dev",
        verbs: ["get", "list", "watch", "delete", "patch"],
        resources: ["coredumps"],
        namespaces: ["shop"],
      },
      { user: "dev", verbs: ["get"], resources: ["coredumps/bundle", "coredumps/report"], namespaces: ["shop"] },
    ];
    kubectl = kubectlAt(directory, { port: bench.port, caFile: bench.cluster.ca.cert, token: "devs-token" });
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("get prints the server's table", async () => {
    const { status, stdout, stderr } = await kubectl("get", "coredumps", "-n", "shop");
    expect(`${status} ${stderr}`).toBe("0 ");
    const [head, row, ...more] = stdout.trim().split("\n");
    expect(head?.split(/\s+/)).toEqual([
      "NAME",
      "POD",
      "CONTAINER",
      "SIGNAL",
      "EXE",
      "SIZE",
      "COMPLETE",
      "AGE",
      "WHERE",
    ]);
    expect(row?.split(/\s+/).slice(0, 7)).toEqual([dump.name, "web-0", "app", "SIGSEGV", "server", "4.0KiB", "true"]);
    expect(more).toEqual([]);
    const wide = await kubectl("get", "cdump", "-o", "wide", "--no-headers");
    expect(wide.stdout).toMatch(/StatefulSet\/web +worker-3 +registry\.example\/server:1/);
  });

  it("api-resources and explain know the resource", async () => {
    const resources = await kubectl("api-resources", "--api-group", "core-dump-handler.dev", "--no-headers");
    const version = "core-dump-handler.dev/v1alpha1";
    expect(
      resources.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/\s+/)),
    ).toEqual([
      ["coredumps", "cdump", version, "true", "CoreDump"],
      ["crashgroups", "cgroup", version, "true", "CrashGroup"],
    ]);
    const explained = await kubectl("explain", "coredump.spec.signal");
    expect(`${explained.stdout}${explained.stderr}`).toMatch(/faultAddress\s+<string>/);
  });

  it("get -o json and describe show the whole manifest", async () => {
    const { stdout } = await kubectl("get", "coredump", dump.name, "-o", "json");
    const object = JSON.parse(stdout) as { kind: string; spec: Record<string, unknown>; status: unknown };
    expect(object.kind).toBe("CoreDump");
    const { schemaVersion: _version, bundle: _bundle, problems: _problems, ...spec } = dump.manifest;
    expect(object.spec).toEqual(JSON.parse(JSON.stringify(spec)));
    expect(object.status).toMatchObject({ bundle: { sizeBytes: dump.zip.length }, complete: true, problems: [] });
    const described = await kubectl("describe", "coredump", dump.name);
    expect(`${described.status} ${described.stderr}`).toBe("0 ");
    expect(described.stdout).toMatch(/Fault Address: +0x0/);
    expect(described.stdout).toMatch(/core-dump-handler\.dev\/signal=SIGSEGV/);
  });

  it("selects by label and by field", async () => {
    const names = async (...args: string[]): Promise<string> =>
      (await kubectl("get", "cdump", "-o", "name", ...args)).stdout;
    const found = `coredump.core-dump-handler.dev/${dump.name}\n`;
    expect(await names("-l", "core-dump-handler.dev/signal in (SIGSEGV,SIGABRT)")).toBe(found);
    expect(await names("-l", "core-dump-handler.dev/signal!=SIGSEGV")).toBe("");
    expect(await names("--field-selector", "spec.process.comm=server")).toBe(found);
    expect(await names("--field-selector", `metadata.name!=${dump.name}`)).toBe("");
    const wrong = await kubectl("get", "cdump", "--field-selector", "spec.nothing=1");
    expect(wrong.stderr).toContain("field label not supported");
  });

  it("prints as yaml, by jsonpath, in columns of one's own, sorted, with labels", async () => {
    const out = async (...args: string[]): Promise<string> => {
      const { status, stdout, stderr } = await kubectl("get", ...args);
      expect(`${status} ${stderr}`).toBe("0 ");
      return stdout;
    };
    const yaml = await out("cdump", dump.name, "-o", "yaml");
    expect(yaml).toMatch(/^apiVersion: core-dump-handler\.dev\/v1alpha1\nkind: CoreDump\nmetadata:\n/);
    expect(yaml).toContain('faultAddress: "0x0"');
    const path = "jsonpath={.items[*].spec.pod.owner.kind}/{.items[0].status.bundle.sizeBytes}";
    expect(await out("cdump", "-o", path)).toBe(`StatefulSet/${dump.zip.length}`);
    const columns = "custom-columns=N:.metadata.name,W:.spec.crashedAt,NONE:.spec.nothing";
    expect(await out("cdump", "-o", columns, "--sort-by", ".metadata.creationTimestamp", "--no-headers")).toMatch(
      new RegExp(`^${dump.name} +2026-11-21T08:26:11.000Z +<none>\n$`),
    );
    expect(await out("cdump", "--show-labels", "--no-headers")).toContain("core-dump-handler.dev/workload=web");
    expect(await out("cdump", "-L", "core-dump-handler.dev/node", "--no-headers")).toMatch(/worker-3\n$/);
    const two = await kubectl("get", "cdump", dump.name, "not-there", "-o", "name");
    expect([two.status, two.stdout, two.stderr]).toEqual([
      1,
      `coredump.core-dump-handler.dev/${dump.name}\n`,
      expect.stringContaining("NotFound"),
    ]);
  });

  it("explain tells every field, and describe finds by label", async () => {
    const { stdout } = await kubectl("explain", "coredump", "--recursive");
    for (const field of ["crashedAt", "faultAddress", "truncatedBy", "problemCount", "storedAt"]) {
      expect(stdout).toMatch(new RegExp(`\\b${field}\\b`));
    }
    const described = await kubectl("describe", "cdump", "-l", "core-dump-handler.dev/workload=web");
    expect(described.stdout).toContain(dump.name);
  });

  it("what cannot be done is refused in words", async () => {
    const file = join(directory, "new.json");
    const object = { apiVersion: "core-dump-handler.dev/v1alpha1", kind: "CoreDump", metadata: { name: "made-up" } };
    writeFileSync(file, JSON.stringify(object));
    const made = await kubectl("create", "-f", file, "--validate=false");
    expect([made.status, made.stderr]).toEqual([1, expect.stringContaining("does not allow this method")]);
    const annotated = await kubectl("annotate", "cdump", dump.name, "a=b");
    expect([annotated.status, annotated.stderr]).toEqual([
      1,
      expect.stringContaining("can be changed, not annotations"),
    ]);
    const patched = await kubectl("patch", "cdump", dump.name, "--type=json", "-p", '[{"op":"remove","path":"/spec"}]');
    expect([patched.status, patched.stderr]).toEqual([1, expect.stringContaining("merge-patch")]);
    const scaled = await kubectl("delete", "cdump", "not-there");
    expect(scaled.stderr).toContain("NotFound");
  });

  it("delete by label and --dry-run=server ask before they act", async () => {
    const one = await putDump(bench.store, {
      pod: { name: "batch-1", namespace: "shop", owner: { kind: "Job", name: "batch" } },
    });
    const selector = ["-l", "core-dump-handler.dev/workload=batch"];
    await expectSoon(
      "it is listed",
      async () => (await kubectl("get", "cdump", ...selector, "-o", "name")).stdout !== "",
    );
    const dry = await kubectl("delete", "cdump", ...selector, "--dry-run=server");
    expect(`${dry.status} ${dry.stdout}`).toContain("deleted");
    expect(await bench.store.head(`${one.stem}.zip`)).toBeDefined();
    await using waiting = kubectl.start("wait", "--for=delete", `cdump/${one.name}`, "--timeout=30s");
    const done = await kubectl("delete", "cdump", ...selector);
    expect(`${done.status} ${done.stderr}`).toBe("0 ");
    expect(await waiting.ended).toBe(0);
    expect(await bench.store.head(`${one.stem}.zip`)).toBeUndefined();
    expect((await kubectl("get", "cdump", "-o", "name")).stdout).toBe(`coredump.core-dump-handler.dev/${dump.name}\n`);
  });

  it("says whose right is missing", async () => {
    const all = await kubectl("get", "coredumps", "-A");
    expect(all.stderr).toContain(
      'coredumps.core-dump-handler.dev is forbidden: User "dev" cannot list resource "coredumps" in API group "core-dump-handler.dev" at the cluster scope',
    );
    const other = await kubectl("get", "coredumps", "-n", "other");
    expect(other.stderr).toContain('in the namespace "other"');
  });

  it("get --raw downloads the bundle", async () => {
    const path = `${BASE}/namespaces/shop/coredumps/${dump.name}/bundle`;
    const file = join(directory, "downloaded.zip");
    const { status, stderr } = await kubectl.into(file, "get", "--raw", path);
    expect(`${status} ${stderr}`).toBe("0 ");
    expect(sha256(readFileSync(file))).toBe(sha256(dump.zip));
    const report = await kubectl("get", "--raw", path.replace(/bundle$/, "report?format=text"));
    expect(report.stdout).toContain("about to fall over");
    const core = await kubectl("get", "--raw", path.replace(/bundle$/, "core"));
    expect(core.stderr).toContain('cannot get resource "coredumps/core"');
  });

  it("label keeps a dump, and only that can be changed", async () => {
    const kept = await kubectl("label", "coredump", dump.name, "core-dump-handler.dev/keep=true");
    expect(`${kept.status} ${kept.stderr}`).toBe("0 ");
    expect(await bench.store.head(`${dump.stem}.keep`)).toBeDefined();
    expect((await kubectl("get", "cdump", "-l", "core-dump-handler.dev/keep", "-o", "name")).stdout).toContain(
      dump.name,
    );
    const let_ = await kubectl("label", "coredump", dump.name, "core-dump-handler.dev/keep-");
    expect(`${let_.status} ${let_.stderr}`).toBe("0 ");
    expect(await bench.store.head(`${dump.stem}.keep`)).toBeUndefined();
    const refused = await kubectl("label", "coredump", dump.name, "team=payments");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("only the label core-dump-handler.dev/keep can be changed");
  });

  it("get -w shows what comes and goes; delete removes both objects", async () => {
    await using watching = kubectl.start("get", "coredumps", "-w", "--no-headers", "--output-watch-events");
    await expectSoon("the watch has begun", () => watching.output().includes(dump.name));
    const added = await putDump(bench.store);
    await expectSoon("it is told", () => watching.output().includes(`ADDED      ${added.name}`));
    const deleted = await kubectl("delete", "coredump", added.name);
    expect(`${deleted.status} ${deleted.stderr}`).toBe("0 ");
    expect(deleted.stdout).toContain(`"${added.name}" deleted`);
    await expectSoon("that is told as well", () => watching.output().includes(`DELETED    ${added.name}`));
    expect(await bench.store.head(`${added.stem}.manifest.json`)).toBeUndefined();
    expect(await bench.store.head(`${added.stem}.zip`)).toBeUndefined();
    const gone = await kubectl("get", "coredump", added.name);
    expect(gone.stderr).toContain("NotFound");
  });

  it("a list in chunks has everything once", async () => {
    const many = await Promise.all(Array.from({ length: 12 }, () => putDump(bench.store)));
    await expectSoon("they are listed", async () => {
      const { stdout } = await kubectl("get", "coredumps", "-o", "name", "--chunk-size=5");
      return many.every(({ name }) => stdout.includes(name));
    });
    const { stdout } = await kubectl("get", "coredumps", "-o", "name", "--chunk-size=5");
    const names = stdout.trim().split("\n");
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBe(13);
  });
});
