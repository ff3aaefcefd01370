import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { AUDIENCE, putDump, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-debuginfod");
/** Of the cluster's scope, as the chart's ClusterRole PREFIX-debuginfo gives them. */
const FILES = ["executable", "debuginfo", "dwp", "section"].map((part) => `buildid/${part}`);
const SOURCE = join(REPOSITORY, "test/inspect/programs/frames.c");
const REAL = "0badcafe-0000-4000-8000-000000000000";
const [ID, WHOLE_ID, PUSHED_ID, LATER_ID, CRASHED_ID] = ["11", "22", "33", "44", "66"].map((digits) =>
  digits.repeat(20),
) as [string, string, string, string, string];

describeUnless(
  notBuilt("cdh-api", "cdh-inspect") ?? missingTools("openssl", "gcc", "gdb", "objcopy"),
  "debuginfod's protocol",
  () => {
    let bench: Workbench;
    /** The clients trust the machine's authorities alone: this carries their requests to the server's certificate. */
    let front: Server;
    let url: string;
    const files = join(directory, "files");

    beforeAll(async () => {
      mkdirSync(files);
      const build = (name: string, id: string): string => {
        const path = join(files, name);
        execFileSync("gcc", ["-g", "-O1", "-fno-optimize-sibling-calls", `-Wl,--build-id=0x${id}`, "-o", path, SOURCE]);
        return path;
      };
      const server = build("server", ID);
      execFileSync("objcopy", ["--only-keep-debug", server, `${server}.debug`]);
      execFileSync("objcopy", ["--strip-all", server, `${server}.stripped`]);
      const modules = [ID, WHOLE_ID, LATER_ID].map((buildId) => ({
        path: `/bin/${buildId}`,
        start: "0x1000",
        end: "0x2000",
        buildId,
      }));
      const crashed = build("crashed", CRASHED_ID);
      const core = join(directory, "core");
      execFileSync("gdb", ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, crashed], {
        stdio: "pipe",
        env: { ...process.env, HOME: directory },
      });
      bench = await startWorkbench(directory, {
        prepare: async (store) => {
          await putDump(store, { modules });
          await putDump(store, { namespace: "real", crashId: REAL, coreFile: readFileSync(core), modules: [] });
        },
      });
      const pushed = [
        crashed,
        `${server}.stripped`,
        `${server}.debug`,
        build("whole", WHOLE_ID),
        build("pushed", PUSHED_ID),
      ];
      const push = await runBuilt("cdh-inspect", ["symbols", "push", "--store", bench.storeDir, ...pushed]);
      expectZero(outcomeOf(push));
      // The image is gone.
      rmSync(crashed);
      for (const user of ["debugger", "tenant", "cores", "lister", "admin"])
        bench.cluster.tokens.set(`${user}s-token`, { user, audiences: [AUDIENCE] });
      bench.cluster.grants = [
        { user: "debugger", verbs: ["get"], resources: FILES, namespaces: [""] },
        { user: "debugger", verbs: ["list"], resources: ["metadata"], namespaces: [""] },
        {
          user: "tenant",
          verbs: ["get"],
          resources: ["coredumps/core", "coredumps/report", ...FILES],
          namespaces: ["shop"],
        },
        { user: "cores", verbs: ["get"], resources: ["coredumps/core"], namespaces: ["*"] },
        { user: "cores", verbs: ["get", "list"], resources: ["coredumps", "coredumps/bundle"], namespaces: ["*"] },
        { user: "lister", verbs: ["list", "get"], resources: ["coredumps"], namespaces: ["*"] },
        { user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] },
      ];
      front = createServer((incoming, outgoing) => {
        const { method, url: path, headers } = incoming;
        const asked = request(
          { port: bench.port, host: "127.0.0.1", method, path, headers, rejectUnauthorized: false },
          (answer) => {
            outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
            answer.pipe(outgoing);
          },
        );
        asked.on("error", () => outgoing.destroy());
        asked.end();
      });
      front.listen(0, "127.0.0.1");
      await once(front, "listening");
      url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
    }, 120_000);
    afterAll(async () => {
      front?.close();
      await bench?.[Symbol.asyncDispose]();
    });

    const get = (
      path: string,
      user = "debugger",
      headers: Record<string, string> = {},
      method = "GET",
    ): ReturnType<Workbench["ask"]> => bench.ask(`/buildid/${path}`, { token: `${user}s-token`, headers, method });
    const file = (name: string): Buffer => readFileSync(join(files, name));

    it("gives the very files, with their size and name", async () => {
      const executable = await get(`${ID}/executable`);
      expect(executable.status).toBe(200);
      expect(executable.body.equals(file("server.stripped"))).toBe(true);
      expect(executable.headers).toMatchObject({
        "content-type": "application/octet-stream",
        "x-debuginfod-size": String(executable.body.length),
        "x-debuginfod-file": "server.stripped",
      });
      expect((await get(`${ID}/debuginfo`)).body.equals(file("server.debug"))).toBe(true);
      // Code and debug info in one file serve as both, by any way to write the id.
      for (const name of ["executable", "debuginfo"])
        expect((await get(`${WHOLE_ID.toUpperCase()}/${name}`)).body.equals(file("whole"))).toBe(true);
    });

    it("answers HEAD, ranges and what the client has already", async () => {
      const whole = file("server.debug");
      const head = await get(`${ID}/debuginfo`, "debugger", {}, "HEAD");
      expect(head).toMatchObject({ status: 200, headers: { "content-length": String(whole.length) } });
      expect(head.body.length).toBe(0);
      const part = await get(`${ID}/debuginfo`, "debugger", { range: "bytes=100-299" });
      expect(part.status).toBe(206);
      expect(part.body.equals(whole.subarray(100, 300))).toBe(true);
      const same = await get(`${ID}/debuginfo`, "debugger", { "if-none-match": head.headers.etag ?? "" });
      expect(same.status).toBe(304);
      expect((await get(`${ID}/debuginfo`, "debugger", { range: "bytes=99999999-" })).status).toBe(416);
    });

    it("gives the same below the group, where the API server's own proxy asks", async () => {
      const below = `/apis/core-dump-handler.dev/v1alpha1/buildid/${ID}`;
      const token = "debuggers-token";
      expect((await bench.ask(`${below}/debuginfo`, { token })).body.equals(file("server.debug"))).toBe(true);
      expect((await bench.ask(`${below}/section/.text`, { token })).status).toBe(200);
      expect((await bench.ask(`${below}/executable`, { token: "tenants-token" })).status).toBe(403);
      expect((await bench.ask(`${below}/dwp`, { token })).status).toBe(404);
    });

    it("finds files by their names", async () => {
      const find = async (query: string, user = "debugger"): Promise<{ status: number; said: unknown }> => {
        const { status, body } = await bench.ask(`/metadata?${query}`, { token: `${user}s-token` });
        return { status, said: status === 200 ? JSON.parse(body.toString()) : undefined };
      };
      expect(await find("key=glob&value=/usr/*/server.*")).toEqual({
        status: 200,
        said: {
          results: [
            { type: "debuginfo", buildid: ID, file: "server.debug" },
            { type: "executable", buildid: ID, file: "server.stripped" },
          ],
          complete: true,
        },
      });
      const whole = ["executable", "debuginfo"].map((type) => ({ type, buildid: WHOLE_ID, file: "whole" }));
      expect(await find("key=file&value=/opt/whole")).toMatchObject({ said: { results: whole } });
      expect(await find("key=file&value=whol")).toMatchObject({ said: { results: [], complete: true } });
      for (const query of ["key=buildid&value=x", "key=glob", `key=glob&value=${"*a".repeat(400)}`])
        expect((await find(query)).status, query).toBe(400);
      expect((await find("key=glob&value=*", "tenant")).status).toBe(403);
    });

    it("gives sections as they lie in the file", async () => {
      const section = join(directory, "section");
      execFileSync("objcopy", [
        "-O",
        "binary",
        "--only-section=.debug_line",
        "--set-section-flags",
        ".debug_line=alloc",
        join(files, "server.debug"),
        section,
      ]);
      expect((await get(`${ID}/section/.debug_line`)).body.equals(readFileSync(section))).toBe(true);
      // Debug info has no code: that comes from the program.
      expect((await get(`${ID}/section/.text`)).status).toBe(200);
      expect((await get(`${ID}/section/.nothing`)).status).toBe(404);
    });

    it("is told of by the report: lines, functions or nothing, and what to paste", async () => {
      const [dump] = readdirSync(join(bench.storeDir, "shop")).filter((name) => name.endsWith(".manifest.json"));
      const { crashId } = JSON.parse(readFileSync(join(bench.storeDir, "shop", dump ?? ""), "utf8")) as {
        crashId: string;
      };
      const path = `/apis/core-dump-handler.dev/v1alpha1/namespaces/shop/coredumps/${crashId}/report`;
      const json = await bench.ask(path, { token: "admins-token" });
      expect(json.status, json.body.toString()).toBe(200);
      const report = JSON.parse(json.body.toString()) as { opensWith: { modules: object[] }; open: { debug: string } };
      expect(report.opensWith.modules).toEqual([
        { path: `/bin/${ID}`, buildId: ID, executable: true, debuginfo: true },
        { path: `/bin/${WHOLE_ID}`, buildId: WHOLE_ID, executable: true, debuginfo: true },
        { path: `/bin/${LATER_ID}`, buildId: LATER_ID, executable: false, debuginfo: false },
      ]);
      expect(report.open.debug).toBe(`kubectl coredump debug -n shop ${crashId}`);
      const text = await bench.ask(path, { token: "admins-token", headers: { accept: "text/plain" } });
      expect(text.body.toString()).toMatch(/^Opens +lines: \w+, \w+; nothing stored: \w+$/m);
    });

    it("is not told to who may read the report but no files: a crash may name any build-id", async () => {
      const [dump] = readdirSync(join(bench.storeDir, "shop")).filter((name) => name.endsWith(".manifest.json"));
      const { crashId } = JSON.parse(readFileSync(join(bench.storeDir, "shop", dump ?? ""), "utf8")) as {
        crashId: string;
      };
      const path = `/apis/core-dump-handler.dev/v1alpha1/namespaces/shop/coredumps/${crashId}/report`;
      const json = await bench.ask(path, { token: "tenants-token" });
      expect(json.status, json.body.toString()).toBe(200);
      const { opensWith } = JSON.parse(json.body.toString()) as { opensWith: { modules: object[]; trouble: string } };
      expect(opensWith.modules).toEqual([ID, WHOLE_ID, LATER_ID].map((id) => ({ path: `/bin/${id}`, buildId: id })));
      expect(opensWith.trouble).toContain("buildid/executable");
    });

    /** Ask as a person does whose kubeconfig has this token. */
    const inspect = async (user: string, ...args: string[]): ReturnType<typeof runBuilt> => {
      const home = mkdtempSync(join(directory, "person-"));
      const kubeconfig = join(home, "config");
      const server = `https://127.0.0.1:${bench.port}`;
      writeFileSync(
        kubeconfig,
        JSON.stringify({
          "current-context": "here",
          contexts: [{ name: "here", context: { cluster: "here", user: "me" } }],
          clusters: [{ name: "here", cluster: { server, "insecure-skip-tls-verify": true } }],
          users: [{ name: "me", user: { token: `${user}s-token` } }],
        }),
      );
      return await runBuilt("cdh-inspect", [...args, "--kubeconfig", kubeconfig], {
        env: { PATH: process.env["PATH"] ?? "", HOME: home },
        timeoutMs: 120_000,
      });
    };

    it("gives kubectl's plugin the files of a crash in the cluster", async () => {
      const place = `kube://real/${REAL}`;
      const stacks = await inspect("admin", "bt", "--raw", place);
      expect(stacks.stdout, stacks.stderr).toMatch(/frame_three.*frames\.c:6/);
      const folder = join(directory, "offline");
      const offline = await inspect("admin", "unpack", "--with-binaries", place, folder);
      expect(readFileSync(join(folder, "program")).includes(Buffer.from(CRASHED_ID, "hex"))).toBe(true);
      expect(offline.stderr).not.toContain("crashed");
      // Whoever may have cores and no programs is told, and gets the stack without names.
      const refused = await inspect("cores", "bt", "--raw", place);
      expect(refused.stdout).not.toContain("frame_three");
      expect(refused.stderr).toMatch(/buildid\/6{40}\/executable \(403\)/);
    }, 240_000);

    it("gives nothing to whoever has no right of the cluster's scope to files", async () => {
      // The tenant's own dump refers to the first: a manifest tells what a process mapped, which may be a forged stub.
      for (const user of ["tenant", "cores", "lister"])
        for (const id of [ID, PUSHED_ID, "55".repeat(20)])
          for (const part of ["executable", "debuginfo", "section/.text"])
            expect((await get(`${id}/${part}`, user)).status, `${user} ${id}/${part}`).toBe(403);
      expect((await bench.ask(`/buildid/${ID}/executable`)).status).toBe(401);
      // No crash refers to what CI pushed, and nobody has to.
      expect((await get(`${PUSHED_ID}/debuginfo`)).status).toBe(200);
    });

    it.each(["../../etc/passwd", "xyz", "abc", "a".repeat(500), "%2e%2e%2f", "ab%00cd"])(
      "has no build-id %s",
      async (id) => {
        expect((await get(`${id}/executable`, "admin")).status).toBe(404);
      },
    );

    const client = async (
      command: string,
      args: string[],
      user: string,
      name: string,
    ): Promise<{ status: number; text: string }> => {
      const home = join(directory, `home-${name}`);
      mkdirSync(home);
      const headers = join(home, "headers");
      writeFileSync(headers, `Authorization: Bearer ${user}s-token\n`);
      const child = spawn(command, args, {
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home,
          DEBUGINFOD_URLS: url,
          DEBUGINFOD_HEADERS_FILE: headers,
          DEBUGINFOD_CACHE_PATH: join(home, "cache"),
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let text = "";
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding("utf8").on("data", (part: string) => (text += part));
      const [status] = (await once(child, "close")) as [number];
      return { status, text };
    };

    it("serves debuginfod-find", async (context) => {
      const reason = missingTools("debuginfod-find");
      if (reason !== undefined) skipAloud(context, reason);
      const found = await client("debuginfod-find", ["debuginfo", ID], "debugger", "found");
      expect(found).toMatchObject({ status: 0 });
      expect(readFileSync(found.text.trim()).equals(file("server.debug"))).toBe(true);
      const executable = await client("debuginfod-find", ["executable", WHOLE_ID], "debugger", "executable");
      expect(readFileSync(executable.text.trim()).equals(file("whole"))).toBe(true);
      expect((await client("debuginfod-find", ["debuginfo", ID], "tenant", "refused")).status).not.toBe(0);
    });

    it("serves eu-stack, which has nothing but the core", async (context) => {
      const reason = missingTools("eu-stack");
      if (reason !== undefined) skipAloud(context, reason);
      const { text } = await client("eu-stack", ["-s", "--core", join(directory, "core")], "debugger", "eu-stack");
      expect(text).toMatch(/frame_three[^]*frames\.c:6/);
    });

    it("serves lldb by way of cdh-inspect: Debian's does not speak the protocol", async (context) => {
      const reason = missingTools("lldb");
      if (reason !== undefined) skipAloud(context, reason);
      const { stdout, stderr } = await inspect("admin", "bt", "--with", "lldb", `kube://real/${REAL}`);
      expect(stdout, stderr).toMatch(/frame_three.* at frames\.c:6/);
    }, 120_000);

    it("serves delve, whose program is stripped: delve runs debuginfod-find", async (context) => {
      const { path: delve, reason = missingTools("go", "strip", "debuginfod-find") } = findTool("dlv");
      if (delve === undefined || reason !== undefined) return skipAloud(context, reason ?? "no dlv");
      const home = join(directory, "go");
      mkdirSync(home);
      const [source, program, stripped, core] = ["main.go", "program", "stripped", "core"].map((name) =>
        join(home, name),
      ) as [string, string, string, string];
      writeFileSync(
        source,
        "package main\n\nfunc main() { deep(nil) }\n\n//go:noinline\nfunc deep(p *int) { *p = 1 }\n",
      );
      const id = "77".repeat(20);
      const env = { ...process.env, HOME: home };
      execFileSync("go", ["build", "-ldflags", `-B 0x${id}`, "-o", program, source], { stdio: "pipe", env });
      const run = ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, program];
      execFileSync("gdb", run, { stdio: "pipe", env });
      execFileSync("strip", ["-o", stripped, program]);
      const init = join(home, "init");
      writeFileSync(init, "bt\nframe 0 args\nexit\n");
      const args = ["core", stripped, core, "--init", init, "--allow-non-terminal-interactive"];
      // Go's own table has lines for a stripped program too; arguments are in the debug info alone.
      expect((await client(delve, args, "debugger", "delve-before")).text).toContain("no debug info found");
      expectZero(outcomeOf(await runBuilt("cdh-inspect", ["symbols", "push", "--store", bench.storeDir, program])));
      const { text } = await client(delve, args, "debugger", "delve");
      expect(text).not.toContain("no debug info found");
      expect(text).toMatch(/^p = \*int nil$/m);
      expect(readdirSync(join(directory, "home-delve/cache", id))).toContain("debuginfo");
    }, 120_000);

    it("serves perf", async (context) => {
      const reason = missingTools("perf");
      if (reason !== undefined) return skipAloud(context, reason);
      const options = execFileSync("perf", ["version", "--build-options"], { encoding: "utf8" });
      // Debian 12's asks nobody, whatever DEBUGINFOD_URLS says.
      if (!/debuginfod: \[ on/i.test(options))
        return skipAloud(context, "this perf is built without debuginfod (perf version --build-options)");
      const args = ["buildid-cache", "--debuginfod", "--add", join(files, "server.stripped")];
      expect((await client("perf", args, "debugger", "perf")).text).not.toContain("not built with it");
    });

    it("serves gdb", async (context) => {
      const reason = missingTools("gdb");
      if (reason !== undefined) skipAloud(context, reason);
      const stripped = join(directory, "alone");
      copyFileSync(join(files, "server.stripped"), stripped);
      const args = ["-nx", "-batch", "-iex", "set debuginfod enabled on", "-ex", "info line frame_three", stripped];
      const { text } = await client("gdb", args, "debugger", "gdb");
      expect(text).toMatch(/Line 6 of ".*frames\.c" starts at address/);
      expect(readdirSync(join(directory, "home-gdb/cache", ID))).toContain("debuginfo");
    });
  },
);

function expectZero(outcome: string): void {
  if (outcome !== "exit 0") throw new Error(outcome);
}
