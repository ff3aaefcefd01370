import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packFile } from "@cdh/core/debug-files/pack";
import { startAzurite } from "../helpers/azurite.ts";
import { notBuilt, outcomeOf, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { startFakeGcs } from "../helpers/fake-gcs.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { chooseS3, startS3Server } from "../helpers/s3-server.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { errorXml, startFaultProxy } from "../upload/fault-proxy.ts";

const ID = "5e".repeat(20);
const place = scratchDirectory("symbols-stores");
const server = join(place, "server");
const core = join(place, "core");

/** A store that runs somewhere, and what says where. */
interface Running extends AsyncDisposable {
  env: Record<string, string>;
}

async function startMinio(): Promise<Running & { endpoint: string }> {
  const s3 = await startS3Server({ kind: "minio" });
  const { S3_BUCKET_NAME: bucket = s3.bucket, ...env } = s3.env;
  return {
    env: { ...env, STORE_URL: `s3://${bucket}` },
    endpoint: s3.endpoint,
    [Symbol.asyncDispose]: () => s3[Symbol.asyncDispose](),
  };
}

const KINDS: readonly [name: string, missing: string | undefined, start: () => Promise<Running>][] = [
  ["S3 (MinIO)", chooseS3("minio").standIn, startMinio],
  ["Azure (Azurite)", missingTools("azurite"), () => startAzurite()],
  ["Google (fake-gcs-server)", missingTools("fake-gcs-server"), () => startFakeGcs()],
];

describeUnless(
  notBuilt("cdh-inspect", "cdh-upload", "cdh-api") ?? missingTools("gcc", "gdb", "objcopy"),
  "files of programs in",
  () => {
    beforeAll(() => {
      const source = join(REPOSITORY, "test/inspect/programs/frames.c");
      execFileSync("gcc", ["-g", "-O1", "-fno-optimize-sibling-calls", `-Wl,--build-id=0x${ID}`, "-o", server, source]);
      execFileSync("objcopy", ["--only-keep-debug", server, `${server}.debug`]);
      execFileSync("objcopy", ["--strip-all", server]);
      execFileSync("gdb", ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, server], {
        stdio: "pipe",
        env: { ...process.env, HOME: place },
      });
      copyFileSync(server, `${server}.kept`);
      rmSync(server);
    }, 60_000);

    const run = (
      program: "cdh-inspect" | "cdh-upload" | "cdh-api",
      env: Record<string, string>,
      ...args: string[]
    ): Promise<BuiltResult> =>
      runBuilt(program, args, {
        env: { PATH: process.env["PATH"] ?? "", HOME: join(place, "home"), KUBERNETES_EVENTS: "false", ...env },
        timeoutMs: 120_000,
      });
    /** A node's spool in which the program waits, as a composer leaves it. */
    const nodeWithProgram = async (name: string): Promise<string> => {
      const coreDir = join(place, name);
      const folder = join(coreDir, "binaries");
      rmSync(coreDir, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      await using file = await open(`${server}.kept`);
      const { size } = await file.stat();
      const read = async (offset: number, length: number): Promise<Uint8Array> =>
        (await file.read(Buffer.alloc(length), 0, length, offset)).buffer;
      const packed = await packFile({ sizeBytes: size, read }, join(folder, `${ID}.executable.zst`));
      writeFileSync(
        join(folder, `${ID}.executable.json`),
        JSON.stringify({ ...packed, name: "server", hasCode: true }),
      );
      return coreDir;
    };
    const spooled = (coreDir: string): string[] =>
      readdirSync(join(coreDir, "binaries")).filter((name) => name.endsWith(".zst"));

    describe.each(KINDS)("%s", (_name, missing, start) => {
      let store: Running;
      beforeAll(async () => {
        if (missing === undefined) store = await start();
      }, 60_000);
      afterAll(() => store?.[Symbol.asyncDispose]());

      it("two nodes send one build-id at once, and both are done; CI's debug info gives lines; nothing goes that is young", async (context) => {
        if (missing !== undefined) context.skip(missing);
        const nodes = [await nodeWithProgram("node-a"), await nodeWithProgram("node-b")];
        const sent = await Promise.all(
          nodes.map((CORE_DIR) => run("cdh-upload", { ...store.env, CORE_DIR }, "sweep", "--log-level", "info")),
        );
        expect(sent.map(outcomeOf)).toEqual(["exit 0", "exit 0"]);
        expect(nodes.map(spooled)).toEqual([[], []]);
        const outcomes = sent.map(({ stderr }) => /outcome[=":]+(\w+)/.exec(stderr)?.[1]);
        expect(outcomes).toContain("stored");
        expect(
          outcomes.every((one) => one === "stored" || one === "alreadyThere"),
          String(outcomes),
        ).toBe(true);

        const functions = await run("cdh-inspect", store.env, "show", core);
        expect(functions.stdout, functions.stderr).toMatch(/^Opens +functions only: server/m);
        const push = await run("cdh-inspect", store.env, "symbols", "push", `${server}.debug`);
        expect(push.stdout, push.stderr).toContain("stored");
        expect((await run("cdh-inspect", store.env, "show", core)).stdout).toMatch(/^Opens +lines: server/m);
        const stacks = await run("cdh-inspect", store.env, "bt", "--raw", core);
        expect(stacks.stdout, stacks.stderr).toMatch(/frame_three.*frames\.c:6/);
        const listed = await run("cdh-inspect", store.env, "symbols", "ls", "-o", "json");
        expect((JSON.parse(listed.stdout) as { files: { role: string }[] }).files.map(({ role }) => role)).toEqual([
          "debuginfo",
          "executable",
        ]);
        const kept = await run("cdh-api", store.env, "prune", "--files-grace", "8d");
        expect(kept.stdout, kept.stderr).toMatch(/^removed 0 /);
        const pruned = await run("cdh-inspect", store.env, "symbols", "prune", "--older-than", "0s");
        expect(outcomeOf(pruned), pruned.stderr).toBe("exit 0");
        expect((await run("cdh-inspect", store.env, "show", core)).stdout).toMatch(/^Opens +.*nothing stored: server/m);
      }, 240_000);
    });

    it("a store that may only be read serves what it has, and says no to the rest", async (context) => {
      const missing = chooseS3("minio").standIn;
      if (missing !== undefined) context.skip(missing);
      await using s3 = await startMinio();
      const push = await run("cdh-inspect", s3.env, "symbols", "push", `${server}.debug`);
      expect(push.exitCode, push.stderr).toBe(0);
      await using proxy = await startFaultProxy(s3.endpoint);
      proxy.decide = ({ method }) =>
        method === "GET" || method === "HEAD"
          ? { kind: "pass" }
          : { kind: "answer", status: 403, body: errorXml("AccessDenied") };
      const env = { ...s3.env, S3_ENDPOINT: proxy.endpoint };
      const refused = await run("cdh-inspect", env, "symbols", "push", `${server}.kept`);
      expect(refused.stderr).toContain("CDH_STORE_DENIED");
      expect(refused.exitCode).not.toBe(0);
      const CORE_DIR = await nodeWithProgram("node-c");
      const swept = await run("cdh-upload", { ...env, CORE_DIR }, "sweep");
      expect(swept.stderr).toContain("files of programs are not sent");
      // It waits: another day the store takes it.
      expect(spooled(CORE_DIR)).toEqual([`${ID}.executable.zst`]);
      const shown = await run("cdh-inspect", env, "show", core);
      expect(shown.stdout, shown.stderr).toMatch(/^Opens +lines: server/m);
      const pruned = await run("cdh-inspect", env, "symbols", "prune", "--older-than", "0s");
      expect(pruned.stderr).toContain("CDH_STORE_DENIED");
    }, 240_000);
  },
);
