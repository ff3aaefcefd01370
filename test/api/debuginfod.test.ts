import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, putDump, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-debuginfod");
const SOURCE = join(REPOSITORY, "test/inspect/programs/frames.c");
const [ID, WHOLE_ID, PUSHED_ID, LATER_ID] = ["11", "22", "33", "44"].map((digits) => digits.repeat(20)) as [
  string,
  string,
  string,
  string,
];

describeUnless(
  notBuilt("cdh-api", "cdh-inspect") ?? missingTools("openssl", "gcc", "objcopy"),
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
      bench = await startWorkbench(directory, {
        prepare: async (store) => void (await putDump(store, { modules })),
      });
      const pushed = [`${server}.stripped`, `${server}.debug`, build("whole", WHOLE_ID), build("pushed", PUSHED_ID)];
      const push = await runBuilt("cdh-inspect", ["symbols", "push", "--store", bench.storeDir, ...pushed]);
      expectZero(outcomeOf(push));
      for (const user of ["debugger", "tenant", "lister", "admin"])
        bench.cluster.tokens.set(`${user}s-token`, { user, audiences: [AUDIENCE] });
      bench.cluster.grants = [
        { user: "debugger", verbs: ["get"], resources: ["coredumps/core"], namespaces: ["*"] },
        { user: "tenant", verbs: ["get"], resources: ["coredumps/core"], namespaces: ["shop"] },
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

    it("gives nothing to whoever may not download every core", async () => {
      // The tenant's own dump refers to the first: a manifest tells what a process mapped, which may be a forged stub.
      for (const user of ["tenant", "lister"])
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
