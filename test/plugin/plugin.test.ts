import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import {
  AUDIENCE,
  expectSoon,
  putDump,
  sha256,
  startWorkbench,
  type PutDump,
  type Workbench,
} from "../api/workbench.ts";
import { builtPath, notBuilt, outcomeOf, runPath, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { findOnPath, missingTools } from "../helpers/tools.ts";
import { startBreaker, writeContexts } from "./api-server.ts";

const directory = scratchDirectory("plugin");
const PLUGIN = join(REPOSITORY, "dist/bin/kubectl-coredump");
const BIG_BYTES = 24 * 1024 * 1024;

describeUnless(
  notBuilt("cdh-api", "cdh-inspect") ?? missingTools("openssl"),
  "kubectl coredump with a real cdh-api",
  () => {
    let bench: Workbench;
    let newest: PutDump;
    let big: PutDump;
    let kubeconfig: string;
    let env: Record<string, string>;

    /** Run the plugin in a directory of its own, with the kubeconfig of everybody in this suite. */
    async function plugin(...args: string[]): Promise<BuiltResult> {
      return runPath(PLUGIN, args, { env, cwd: directory });
    }

    beforeAll(async () => {
      bench = await startWorkbench(directory, {
        prepare: async (store) => {
          big = await putDump(store, {
            crashedAt: "2026-11-21T07:00:00.000Z",
            crashId: "b1900000-1111-4222-8333-444444444444",
            coreBytes: BIG_BYTES,
            compression: "none",
            pod: { name: "cart-7d9f-x1", namespace: "shop", owner: { kind: "ReplicaSet", name: "cart" } },
          });
          const signature = "pay | main @ server";
          await putDump(store, { crashedAt: "2026-11-21T08:00:00.000Z", coreBytes: 3_000_000, signature });
          newest = await putDump(store, {
            crashedAt: "2026-11-21T09:00:00.000Z",
            crashId: "0e370000-1111-4222-8333-444444444444",
            coreBytes: 3_000_000,
            signature,
          });
          await putDump(store, { namespace: "payments", crashedAt: "2026-11-21T10:00:00.000Z" });
        },
      });
      for (const user of ["dev", "reader", "core-reader", "nobody"])
        bench.cluster.tokens.set(`${user}-token`, { user, audiences: [AUDIENCE] });
      const list = { verbs: ["get", "list"], resources: ["coredumps"], namespaces: ["shop"] };
      bench.cluster.grants = [
        ...["dev", "reader", "core-reader"].map((user) => ({ ...list, user })),
        { ...list, user: "dev", namespaces: ["payments"] },
        {
          user: "dev",
          verbs: ["get"],
          resources: ["coredumps/bundle", "coredumps/report"],
          namespaces: ["shop", "payments"],
        },
        { user: "dev", verbs: ["get", "list"], resources: ["crashgroups"], namespaces: ["shop"] },
        { user: "reader", verbs: ["get"], resources: ["coredumps/report"], namespaces: ["shop"] },
        { user: "core-reader", verbs: ["get"], resources: ["coredumps/core"], namespaces: ["shop"] },
      ];
      const caFile = bench.cluster.ca.cert;
      const context = (user: string, namespace?: string): Parameters<typeof writeContexts>[1][string] => ({
        port: bench.port,
        caFile,
        user: { token: `${user}-token` },
        ...(namespace === undefined ? {} : { namespace }),
      });
      kubeconfig = writeContexts(join(directory, "kubeconfig"), {
        dev: context("dev", "shop"),
        payments: context("dev", "payments"),
        reader: context("reader", "shop"),
        "core-reader": context("core-reader", "shop"),
        nobody: context("nobody", "shop"),
        stranger: context("stranger", "shop"),
      });
      env = { KUBECONFIG: kubeconfig, HOME: directory, PATH: process.env["PATH"] ?? "" };
    });
    afterAll(() => bench?.[Symbol.asyncDispose]());

    it("is found by the real kubectl, which passes its flags on", async (context) => {
      const kubectl = findOnPath("kubectl");
      if (kubectl.path === undefined) skipAloud(context, kubectl.reason);
      const withPlugin = { ...env, PATH: `${dirname(PLUGIN)}:${env["PATH"]}` };
      const ran = await new Promise<string>((resolve) => {
        execFile(
          kubectl.path ?? "",
          ["coredump", "ls", "--context", "payments", "-o", "json"],
          { env: withPlugin, encoding: "utf8" },
          (error, stdout, stderr) => resolve(error === null ? stdout : stderr),
        );
      });
      expect(JSON.parse(ran)).toMatchObject({ bundles: [{ namespace: "payments", pod: "web-0", signal: "SIGSEGV" }] });
    });

    it("lists the context's namespace newest first, another with -n, and says what -A needs", async () => {
      const own = await plugin("ls");
      expect(outcomeOf(own)).toBe("exit 0");
      const rows = own.stdout.trim().split("\n").slice(1);
      expect(rows.map((row) => row.slice(0, 19))).toEqual([
        "2026-11-21 09:00:00",
        "2026-11-21 08:00:00",
        "2026-11-21 07:00:00",
      ]);
      expect((await plugin("ls", "-n", "payments", "-q")).stdout).toMatch(/^kube:\/\/payments\/[\w-]+\n$/);
      const all = await plugin("ls", "-A");
      expect([all.exitCode, all.stderr]).toEqual([
        15,
        expect.stringMatching(/forbidden.*cluster scope.*CDH_STORE_DENIED/),
      ]);
    });

    it("of thousands of crashes one is found and shown in some KiB; what only stands within an id means none", async () => {
      await using own = await startWorkbench(join(directory, "many"), {
        prepare: async (store) => {
          const wanted = { crashId: "541c7eab-1111-4222-8333-4444e2e34444", crashedAt: "2026-11-20T07:00:00.000Z" };
          const { manifest } = await putDump(store, { ...wanted, pod: { name: "pay-0", namespace: "shop" } });
          for (let index = 0; index < 3000; index += 1) {
            const crashId = `${index.toString(16).padStart(8, "0")}-1111-4222-8333-444444444444`;
            const other = { ...manifest, crashId, pod: { name: `web-${index}`, namespace: "shop" } };
            writeFileSync(join(directory, "many/store/shop", `${crashId}-dump.manifest.json`), JSON.stringify(other));
          }
        },
      });
      own.cluster.tokens.set("dev-token", { user: "dev", audiences: [AUDIENCE] });
      own.cluster.grants = [{ user: "dev", verbs: ["*"], resources: ["*"], namespaces: ["shop"] }];
      const breaker = await startBreaker(own.port);
      const file = writeContexts(join(directory, "kubeconfig-many"), {
        dev: { port: breaker.port, caFile: own.cluster.ca.cert, user: { token: "dev-token" }, namespace: "shop" },
      });
      const run = (...args: string[]): Promise<BuiltResult> =>
        runPath(PLUGIN, args, { env: { ...env, KUBECONFIG: file }, cwd: directory });
      for (const text of ["541c7eab", "pay-0", "-3001"]) {
        const before = breaker.passedBytes;
        const shown = await run("show", text);
        expect(shown.stdout, shown.stderr).toContain("shop/pay-0");
        expect(breaker.passedBytes - before).toBeLessThan(text === "-3001" ? 1_500_000 : 30_000);
      }
      expect((await run("show", "541c7eab")).stderr).toContain("541c7eab is taken for kube://shop/541c7eab-1111");
      expect((await run("show", "pay-0")).stderr).toBe("");
      for (const command of ["show", "bt", "logs"]) {
        const none = await run(command, "e2e3");
        expect([none.exitCode, none.stdout, none.stderr]).toEqual([12, "", expect.stringContaining("no crash e2e3")]);
      }
      breaker.close();
    }, 120_000);

    it("finds a crash by number, name, pod, workload and part, and says when there are several or none", async () => {
      const shown = async (...args: string[]): Promise<string> => {
        const result = await plugin("show", "-o", "json", ...args);
        expect(outcomeOf(result)).toBe("exit 0");
        return (JSON.parse(result.stdout) as { bundle: string }).bundle.split("/").at(-1) ?? "";
      };
      expect(await shown("-1")).toBe(newest.name);
      expect(await shown("-3")).toBe(big.name);
      expect(await shown(newest.name)).toBe(newest.name);
      expect(await shown("web-0")).toBe(newest.name);
      expect(await shown("pod/web-0")).toBe(newest.name);
      expect(await shown("web")).toBe(newest.name);
      expect(await shown("cart")).toBe(big.name);
      expect(await shown("b19")).toBe(big.name);
      expect(await shown(`kube://shop/${newest.name}`)).toBe(newest.name);
      const several = await plugin("show", "eb-0");
      expect([several.exitCode, several.stderr]).toEqual([12, expect.stringContaining("fits 2 bundles")]);
      for (const name of ["-9", "no-such"]) expect((await plugin("show", name)).exitCode).toBe(12);
    }, 120_000);

    it("shows a crash without downloading it", async () => {
      const shown = await plugin("show", "cart", "-o", "json");
      expect((JSON.parse(shown.stdout) as { bundleBytes: number }).bundleBytes).toBeGreaterThan(BIG_BYTES);
      // More lines of the log than the server's report holds: then it is read by ranges.
      const byRanges = await plugin("show", "cart", "--lines", "101", "-o", "json");
      const report = JSON.parse(byRanges.stdout) as { traffic: { requests: number; bytes: number } };
      expect(report.traffic.bytes).toBeLessThan(2 * 1024 * 1024);
      expect(shown.peakRssBytes ?? 0).toBeLessThan(150 * 1024 * 1024);
      const logs = await plugin("logs", "cart");
      expect(logs.stdout).toBe("listening\nabout to fall over\n");
      const report2 = await plugin("report", "cart");
      expect(report2.stdout).toContain("server died of SIGSEGV in shop/cart-7d9f-x1");
    });

    it("takes kube:// under its own name too", async () => {
      const listed = await runPath(builtPath("cdh-inspect"), ["ls", "-n", "payments", "--kube", "-q"], { env });
      expect(listed.stdout).toMatch(/^kube:\/\/payments\//);
      const verified = await runPath(builtPath("cdh-inspect"), ["verify", `kube://shop/${newest.name}`], { env });
      expect(outcomeOf(verified)).toBe("exit 0");
      expect(verified.stdout).toContain("SHA-256");
    });

    it("gets a bundle as the server's hash says, and does not overwrite", async () => {
      const file = join(directory, `${newest.stem.split("/")[1]}.zip`);
      const got = await plugin("get", "-1");
      expect(outcomeOf(got)).toBe("exit 0");
      expect(got.stdout).toContain("as the server says");
      expect(sha256(readFileSync(file))).toBe(sha256(newest.zip));
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const again = await plugin("get", "-1");
      expect([again.exitCode, again.stderr]).toEqual([13, expect.stringContaining("already exists")]);
      expect(outcomeOf(await plugin("get", "-1", "--force"))).toBe("exit 0");
      const piped = await plugin("get", "-n", "shop", "-1", "-o", "-");
      expect(piped.exitCode).toBe(0);
    });

    it("gets a core by its frames, checked by the manifest's hash", async () => {
      const file = join(directory, "the.core");
      const got = await plugin("get", "-d", "-1", "-o", file);
      expect(outcomeOf(got)).toBe("exit 0");
      expect(got.stdout).toContain("as the manifest says");
      expect(sha256(readFileSync(file))).toBe(sha256(newest.core));
    });

    it("goes on by itself when the connection breaks", async () => {
      const breaker = await startBreaker(bench.port);
      try {
        const config = writeContexts(join(directory, "broken"), {
          dev: { port: breaker.port, caFile: bench.cluster.ca.cert, user: { token: "dev-token" }, namespace: "shop" },
        });
        breaker.cutAfterBytes = 6 * 1024 * 1024;
        breaker.cuts = 3;
        const file = join(directory, "broken.zip");
        const got = await plugin("get", "cart", "-o", file, "--kubeconfig", config);
        expect(outcomeOf(got)).toBe("exit 0");
        expect(breaker.cuts).toBe(0);
        expect(sha256(readFileSync(file))).toBe(sha256(big.zip));
        // What had come through was not asked for again.
        expect(breaker.passedBytes).toBeLessThan(big.zip.length * 1.3);
      } finally {
        breaker.close();
      }
    });

    it.each(["bundle", "core"])("goes on where an interrupted run was: %s", async (what) => {
      const breaker = await startBreaker(bench.port);
      try {
        const config = writeContexts(join(directory, "stalled"), {
          dev: { port: breaker.port, caFile: bench.cluster.ca.cert, user: { token: "dev-token" }, namespace: "shop" },
        });
        breaker.stallAfterBytes = 12 * 1024 * 1024;
        const file = join(directory, `interrupted-${what}`);
        const args = ["get", "cart", "-o", file, "--kubeconfig", config, ...(what === "core" ? ["-d"] : [])];
        const first = startTied(PLUGIN, args, { env });
        const partial = `${file}.partial`;
        await expectSoon(
          "the download stands still with some of it written",
          () => breaker.isStalled && existsSync(partial) && statSync(partial).size > 6 * 1024 * 1024,
        );
        await first.stop("INT");
        expect(first.output()).toContain("interrupted");
        expect(existsSync(file)).toBe(false);
        breaker.stallAfterBytes = undefined;
        const before = breaker.passedBytes;
        const second = await plugin(...args);
        expect(outcomeOf(second)).toBe("exit 0");
        expect(second.stdout).toContain("gone on from");
        expect(breaker.passedBytes - before).toBeLessThan(big.zip.length - 4 * 1024 * 1024);
        expect(sha256(readFileSync(file))).toBe(sha256(what === "core" ? big.core : big.zip));
      } finally {
        breaker.close();
      }
    });

    it("keeps to the rights: reading is not downloading, and a core is not a bundle", async () => {
      const as = (user: string, ...args: string[]): Promise<BuiltResult> => plugin(...args, "--context", user);
      const shown = await as("reader", "show", "-1");
      expect(outcomeOf(shown)).toBe("exit 0");
      expect(shown.stdout).toContain("server died of SIGSEGV in shop/web-0");
      const refused = await as("reader", "get", "-1", "-o", join(directory, "refused"));
      expect([refused.exitCode, refused.stderr]).toEqual([15, expect.stringContaining('"coredumps/bundle"')]);
      expect(existsSync(join(directory, "refused"))).toBe(false);
      const file = join(directory, "by-core-right");
      expect(outcomeOf(await as("core-reader", "get", "-d", "-1", "-o", file))).toBe("exit 0");
      expect(sha256(readFileSync(file))).toBe(sha256(newest.core));
      const nobody = await as("nobody", "ls");
      expect([nobody.exitCode, nobody.stderr]).toEqual([15, expect.stringContaining("forbidden")]);
      const stranger = await as("stranger", "ls");
      expect([stranger.exitCode, stranger.stderr]).toEqual([15, expect.stringContaining("does not know who you are")]);
    });

    it("groups are the API's: one line for each bug, its crashes, its newest whole one", async () => {
      const shown = await plugin("groups", "-o", "json");
      expect(outcomeOf(shown)).toBe("exit 0");
      const groups = (JSON.parse(shown.stdout) as { groups: CrashGroup[] }).groups;
      expect(groups.map(({ signature, count }) => [signature, count])).toEqual([
        ["pay | main @ server", 2],
        [undefined, 1],
      ]);
      const [group] = groups;
      expect(group).toMatchObject({
        namespace: "shop",
        newestWhole: `kube://shop/${newest.name}`,
        workloads: ["shop/web"],
        nodes: ["worker-3"],
      });
      const id = group?.id ?? "";
      const table = await plugin("groups");
      expect(table.stdout).toMatch(new RegExp(`^${id} +2 +2 .*pay \\| main @ server`, "m"));
      const listed = await plugin("ls", "-q", "--group", id);
      expect(listed.stdout.trim().split("\n")).toHaveLength(2);
      expect(listed.stdout.split("\n")[0]).toBe(`kube://shop/${newest.name}`);
      const one = await plugin("show", id);
      expect(one.stdout).toContain(`Group`);
      expect(one.stdout).toContain("died of SIGSEGV in shop/web-0");
      const file = join(directory, "of-the-group.zip");
      expect(outcomeOf(await plugin("get", id, "-o", file))).toBe("exit 0");
      expect(sha256(readFileSync(file))).toBe(sha256(newest.zip));
      const none = await plugin("show", "bug-0000000000");
      expect([none.exitCode, none.stderr]).toEqual([12, expect.stringContaining("not found")]);
      // What is asked of the crashes is counted from the crashes.
      const few = await plugin("groups", "--since", "2026-11-21T08:30:00Z", "-o", "json");
      expect((JSON.parse(few.stdout) as { groups: CrashGroup[] }).groups).toMatchObject([{ id, count: 1 }]);
    });

    it("who may list crashes and not groups has them counted here, and is told", async () => {
      const shown = await plugin("groups", "--context", "reader", "-o", "json");
      expect(shown.stderr).toContain('cannot list resource "crashgroups"');
      const groups = (JSON.parse(shown.stdout) as { groups: CrashGroup[] }).groups;
      expect(groups.map(({ count }) => count)).toEqual([2, 1]);
    });

    it("says what is wrong with a kubeconfig, a context, a cluster without cdh-api", async () => {
      const missing = await plugin("ls", "--context", "nope");
      expect([missing.exitCode, missing.stderr]).toEqual([10, expect.stringContaining("one of dev, payments")]);
      const none = await plugin("ls", "--kubeconfig", join(directory, "no-such-file"));
      expect([none.exitCode, none.stderr]).toEqual([10, expect.stringContaining("cannot read the kubeconfig")]);
      mkdirSync(join(directory, "empty-home"), { recursive: true });
      const nothing = await runPath(PLUGIN, ["ls"], {
        env: { HOME: join(directory, "empty-home"), PATH: env["PATH"] ?? "" },
      });
      expect([nothing.exitCode, nothing.stderr]).toEqual([10, expect.stringContaining("no kubeconfig")]);
    });
  },
);
