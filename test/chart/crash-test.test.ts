import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeRawZip } from "../../packages/core/src/testing/raw-zip.ts";
import { makeManifest, makeSampleEntries } from "../../packages/core/src/testing/sample-bundle.ts";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { only, render, STORE, type Container } from "./helm.ts";

const inspect = join(REPOSITORY, "dist", "lib", "cdh-inspect.mjs");

/** The pod of the fixture bundle. */
const POD = { POD_NAME: "checkout-7d9f", POD_NAMESPACE: "payments", NODE_NAME: "worker-3" };

const container = (values: unknown): Container => {
  const spec = only(render(values), "Pod")["spec"] as { containers: Container[] };
  const [first] = spec.containers;
  if (first === undefined) throw new Error("the test's pod has no container");
  return first;
};

describeUnless(missingTools("helm") ?? notBuilt("cdh-inspect", "cdh-upload"), "helm test", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "cdh-crash-test-"));
    mkdirSync(join(folder, "store"));
    mkdirSync(join(folder, "spool"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Start what the rendered pod runs, without core files: the crash itself is the kernel suites' matter. */
  const start = (
    timeoutSeconds: number,
  ): { ended: Promise<number | null>; said: () => string; waiting: Promise<void> } => {
    const { command = [], args = [] } = container(STORE) as Container & { args: string[] };
    const child = spawn("sh", ["-c", 'ulimit -c 0; exec "$0" "$@"', process.execPath, ...command.slice(1), ...args], {
      env: { ...POD, INSPECT: inspect, TEST_TIMEOUT: String(timeoutSeconds), STORE_URL: `file://${folder}/store` },
    });
    let text = "";
    let wake = (): void => {};
    const waiting = new Promise<void>((resolve) => (wake = resolve));
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes("waiting for")) wake();
      });
    return { ended: once(child, "close").then(([status]) => status as number | null), said: () => text, waiting };
  };

  const sweep = async (): Promise<void> => {
    const args = ["sweep", "--core-dir", join(folder, "spool"), "--store", `file://${folder}/store`];
    await once(spawn(builtPath("cdh-upload"), args, { stdio: "ignore" }), "close");
  };

  it("crashes, and is content when the bundle of its pod arrives", async () => {
    const run = start(40);
    await run.waiting;
    copyFileSync(join(REPOSITORY, "test/fixtures/bundles/older/ibm-v9-stored.zip"), join(folder, "spool", "a.zip"));
    await sweep();
    expect(await run.ended).toBe(0);
    expect(run.said()).toMatch(/✓ crashed with SIGABRT in pod payments\/checkout-7d9f on node worker-3/);
    expect(run.said()).toMatch(/✓ .*a\.zip is there after .*SIGSEGV of \/usr\/bin\/threads/);
  });

  it("fails when the bundle holds no memory, and names the setting that keeps it", async () => {
    const run = start(40);
    await run.waiting;
    const core = Buffer.alloc(0);
    const { core: facts } = makeManifest(core, 17);
    const entries = makeSampleEntries(core, {
      core: { ...facts, complete: false, truncatedBy: "rlimit", expectedBytes: 50_000_000 },
      pod: { name: POD.POD_NAME, namespace: POD.POD_NAMESPACE },
    });
    writeFileSync(join(folder, "spool", "a.zip"), makeRawZip(Object.values(entries)));
    await sweep();
    expect(await run.ended).toBe(1);
    expect(run.said()).toContain("no memory kept: the container's core limit is 0");
    expect(run.said()).toContain("composer.rlimitCore=ignore");
  });

  it("fails when none comes, and says where to look", async () => {
    const run = start(1);
    expect(await run.ended).toBe(1);
    expect(run.said()).toMatch(/✗ no bundle of pod payments\/checkout-7d9f in file:/);
    expect(run.said()).toContain("cdh-sysctl doctor");
  });

  it("needs no privilege, and is left out where it could not succeed", () => {
    expect(container(STORE).securityContext).toMatchObject({ runAsNonRoot: true, capabilities: { drop: ["ALL"] } });
    const pods = (values: object): number =>
      render({ ...STORE, ...values }).objects.filter(({ kind }) => kind === "Pod").length;
    expect(pods({})).toBe(1);
    expect(pods({ node: { mode: "file" } })).toBe(0);
    expect(pods({ upload: { enabled: false } })).toBe(0);
    expect(pods({ tests: { enabled: false } })).toBe(0);
  });
});
