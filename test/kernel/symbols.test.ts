import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { startS3Server } from "../helpers/s3-server.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

describeUnless(
  kernelSuiteUnavailable("gcc", "objcopy", "readelf") ?? notBuilt("cdh-inspect"),
  "files of programs in the store",
  () => {
    const suite = setUpKernel();
    let store: string;
    let bundle: string;
    let build: string;
    let buildId: string;

    const inspect = (args: string[], env: Record<string, string> = {}): Promise<BuiltResult> =>
      runBuilt("cdh-inspect", args, {
        env: { PATH: process.env["PATH"] ?? "", HOME: join(suite.scratch, "home"), ...env },
        timeoutMs: 300_000,
      });
    /** Path of what was fetched from some store; one that is not there when there is none. */
    const cached = (name: string): string => {
      const folder = join(suite.scratch, "home/.cache/cdh-inspect/symbols");
      const places = existsSync(folder) ? readdirSync(folder) : [];
      const paths = places.map((place) => join(folder, place, buildId, name));
      return paths.find((path) => existsSync(path)) ?? join(folder, "none", buildId, name);
    };

    beforeAll(async () => {
      store = join(suite.scratch, "store");
      build = join(suite.scratch, "build");
      const run = join(suite.scratch, "run");
      for (const folder of [build, run, join(store, "shop"), join(suite.scratch, "home")])
        mkdirSync(folder, { recursive: true });
      const whole = join(build, "server.whole");
      const source = join(REPOSITORY, "test/inspect/programs/frames.c");
      execFileSync("gcc", ["-g", "-O1", "-fno-optimize-sibling-calls", "-Wl,--build-id=sha1", "-o", whole, source]);
      execFileSync("objcopy", ["--only-keep-debug", whole, join(build, "server.debug")]);
      execFileSync("objcopy", ["--strip-all", whole, join(build, "server")]);
      buildId = /Build ID: ([0-9a-f]+)/.exec(execFileSync("readelf", ["-n", whole], { encoding: "utf8" }))?.[1] ?? "";
      const program = join(run, "server");
      copyFileSync(join(build, "server"), program);
      execFileSync("chmod", ["+x", program]);
      const { pid } = await runCrash(program);
      const { path } = await suite.composer.bundleOf(pid, 120_000);
      bundle = join(store, "shop/crash.zip");
      copyFileSync(path, bundle);
      // The image is gone, as after an update.
      rmSync(run, { recursive: true });
    }, 700_000);

    it("gives an old crash functions and lines once they are pushed", async () => {
      const before = await inspect(["bt", "--raw", bundle]);
      expect(before.stdout).not.toContain("frame_three");
      expect(before.stderr).toContain(`no file for`);

      const pushed = await inspect(["symbols", "push", "--store", store, join(build, "server")]);
      expect(outcomeOf(pushed)).toBe("exit 0");
      expect(pushed.stdout).toMatch(new RegExp(`stored +${buildId} +executable`));
      const stripped = await inspect(["bt", "--raw", bundle]);
      expect(outcomeOf(stripped)).toBe("exit 0");
      expect(stripped.stdout).not.toContain("frame_three");

      expect(outcomeOf(await inspect(["symbols", "push", "--store", store, join(build, "server.debug")]))).toBe(
        "exit 0",
      );
      for (const place of [bundle, `file://${bundle}`]) {
        const after = await inspect(["bt", "--raw", place]);
        expect(outcomeOf(after)).toBe("exit 0");
        for (const [name, line] of [
          ["frame_five", 4],
          ["frame_three", 6],
          ["frame_one", 8],
          ["main", 11],
        ] as const)
          expect(after.stdout).toMatch(new RegExp(`${name}.*frames\\.c:${line}\\b`));
      }
      // As debuginfod's own clients lay them out, the very bytes.
      expect(readFileSync(cached("executable")).equals(readFileSync(join(build, "server")))).toBe(true);
      expect(readFileSync(cached("debuginfo")).equals(readFileSync(join(build, "server.debug")))).toBe(true);
    });

    it("sets gdb up with them", async (context) => {
      const reason = missingTools("gdb");
      if (reason !== undefined) skipAloud(context, reason);
      rmSync(join(suite.scratch, "home/.cache"), { recursive: true, force: true });
      const { stdout, stderr } = await inspect(["bt", bundle]);
      expect(stderr).not.toContain("the program is not here");
      expect(stdout).toMatch(/frame_three \(where=.*0x10\) at .*frames\.c:6/);
    });

    it("keeps a file once, finds and lists it", async () => {
      const again = await inspect(["symbols", "push", "-o", "json", "--store", store, build]);
      // The whole program has the debug info's build-id and role, and is another file: what is there stays.
      expect(again.exitCode).toBe(3);
      const { files } = JSON.parse(again.stdout) as { files: { file: string; state: string }[] };
      expect(files.map(({ state }) => state)).toEqual(["alreadyThere", "alreadyThere", "other"]);
      const found = await inspect(["symbols", "find", "--store", store, buildId.toUpperCase()]);
      expect(found.stdout).toMatch(/debuginfo .* server\.debug\n.*executable .* server\n/);
      const byFile = await inspect(["symbols", "find", "-o", "json", join(build, "server")], {
        STORE_URL: `file://${store}`,
      });
      expect(JSON.parse(byFile.stdout)).toMatchObject({
        files: [{ buildId, role: "debuginfo" }, { role: "executable" }],
      });
      expect((await inspect(["symbols", "find", "--store", store, "abcd1234"])).exitCode).toBe(12);
      expect((await inspect(["symbols", "find", "--store", store, "../../etc/passwd"])).exitCode).toBe(10);
      expect((await inspect(["symbols", "ls", "--store", store])).stdout.match(new RegExp(buildId, "g"))).toHaveLength(
        2,
      );
      expect(readdirSync(join(store, "debug"))).toEqual([buildId]);
    });

    it("serves a program with its debug info as both", async () => {
      const other = join(suite.scratch, "whole");
      mkdirSync(join(other, "shop"), { recursive: true });
      copyFileSync(bundle, join(other, "shop/crash.zip"));
      rmSync(join(suite.scratch, "home/.cache"), { recursive: true, force: true });
      expect(outcomeOf(await inspect(["symbols", "push", "--store", other, join(build, "server.whole")]))).toBe(
        "exit 0",
      );
      const { stdout } = await inspect(["bt", "--raw", join(other, "shop/crash.zip")]);
      expect(stdout).toMatch(/frame_three.*frames\.c:6/);
      expect(existsSync(cached("debuginfo"))).toBe(true);
    });

    it("agrees when two push the same build-id at once", async () => {
      const other = join(suite.scratch, "two");
      const results = await Promise.all(
        [0, 1].map(() => inspect(["symbols", "push", "-o", "json", "--store", other, join(build, "server.debug")])),
      );
      expect(results.map(outcomeOf)).toEqual(["exit 0", "exit 0"]);
      const states = results.map(
        ({ stdout }) => (JSON.parse(stdout) as { files: { state: string }[] }).files[0]?.state,
      );
      expect(states).toContain("stored");
      expect((await inspect(["symbols", "ls", "-o", "json", "--store", other])).stdout.match(/"role"/g)).toHaveLength(
        1,
      );
    });

    it("refuses what is half a file, no program, or has no build-id", async () => {
      const half = join(suite.scratch, "half");
      copyFileSync(join(build, "server.whole"), half);
      truncateSync(half, 9000);
      const anonymous = join(suite.scratch, "anonymous");
      execFileSync("gcc", ["-Wl,--build-id=none", "-o", anonymous, join(REPOSITORY, "test/inspect/programs/frames.c")]);
      const text = join(suite.scratch, "text");
      writeFileSync(text, "no program");
      const other = join(suite.scratch, "refused");
      const result = await inspect(["symbols", "push", "-o", "json", "--store", other, half, anonymous, text]);
      expect(result.exitCode).toBe(16);
      const { files } = JSON.parse(result.stdout) as { files: { state: string; reason: string }[] };
      expect(files.map(({ state }) => state)).toEqual(["refused", "refused", "refused"]);
      expect(files.map(({ reason }) => reason)).toEqual([
        expect.stringContaining("cut short"),
        expect.stringContaining("no build-id"),
        "no ELF file",
      ]);
      expect(existsSync(join(other, "debug"))).toBe(false);
    });

    it("uses no stored file that is damaged, or another build's", async () => {
      const other = join(suite.scratch, "damaged");
      mkdirSync(join(other, "shop"), { recursive: true });
      copyFileSync(bundle, join(other, "shop/crash.zip"));
      rmSync(join(suite.scratch, "home/.cache"), { recursive: true, force: true });
      expect(outcomeOf(await inspect(["symbols", "push", "--store", other, join(build, "server.debug")]))).toBe(
        "exit 0",
      );
      const stored = join(other, "debug", buildId, "debuginfo.zst");
      const bytes = readFileSync(stored);
      // Of another build, under this build-id, by somebody who wrote it there by hand.
      const foreign = join(suite.scratch, "foreign");
      execFileSync("gcc", [
        "-g",
        "-Wl,--build-id=0xabcdef0123456789",
        "-o",
        foreign,
        join(REPOSITORY, "test/inspect/programs/frames.c"),
      ]);
      const foreignStore = join(suite.scratch, "foreign-store");
      expect(outcomeOf(await inspect(["symbols", "push", "--store", foreignStore, foreign]))).toBe("exit 0");
      const cases: [string, () => void, RegExp][] = [
        ["half", () => writeFileSync(stored, bytes.subarray(0, bytes.length - 100)), /symbols push|seek table/],
        ["changed", () => writeFileSync(stored, Buffer.from(bytes).fill(0, 200, 300)), /cannot decompress/],
        [
          "another build's",
          () => {
            copyFileSync(join(foreignStore, "debug/abcdef0123456789/debuginfo.zst"), stored);
            rmSync(join(other, "debug", buildId, ".debuginfo.zst.meta.json"), { force: true });
          },
          /it has build-id abcdef0123456789/,
        ],
      ];
      for (const [name, damage, words] of cases) {
        damage();
        const { stdout, stderr } = await inspect(["bt", "--raw", join(other, "shop/crash.zip")]);
        expect(stderr, name).toMatch(words);
        expect(stdout, name).not.toContain("frame_three");
        expect(existsSync(cached("debuginfo")), name).toBe(false);
      }
    });

    it("removes what no bundle refers to, after a look, and nothing else", async () => {
      const unused = join(suite.scratch, "unused");
      execFileSync("gcc", [
        "-Wl,--build-id=0x0123456789abcdef",
        "-o",
        unused,
        join(REPOSITORY, "test/inspect/programs/frames.c"),
      ]);
      expect(outcomeOf(await inspect(["symbols", "push", "--store", store, unused]))).toBe("exit 0");
      const young = await inspect(["symbols", "prune", "--store", store]);
      expect(young.stderr).toContain("removed: 0 of 3 files");
      const dry = await inspect(["symbols", "prune", "--store", store, "--older-than", "0s", "--dry-run"]);
      expect(dry.stdout).toContain("0123456789abcdef");
      expect(dry.stdout).not.toContain(buildId);
      // A bundle that nobody can read may need any of them.
      writeFileSync(join(store, "shop/torn.zip"), "not a zip");
      const stopped = await inspect(["symbols", "prune", "--store", store, "--older-than", "0s"]);
      expect(stopped).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("nothing is removed") });
      expect(readdirSync(join(store, "debug")).toSorted()).toEqual(["0123456789abcdef", buildId].toSorted());
      rmSync(join(store, "shop/torn.zip"));
      const done = await inspect(["symbols", "prune", "--store", store, "--older-than", "0s"]);
      expect(outcomeOf(done)).toBe("exit 0");
      expect((await inspect(["symbols", "ls", "--store", store])).stdout).not.toContain("0123456789abcdef");
      expect((await inspect(["symbols", "ls", "--store", store])).stdout.match(new RegExp(buildId, "g"))).toHaveLength(
        2,
      );
    });

    it("works in a bucket, below a prefix, without being told where", async () => {
      await using s3 = await startS3Server({ kind: "minio", bucket: "cores" });
      rmSync(join(suite.scratch, "home/.cache"), { recursive: true, force: true });
      const put = await s3Request(s3, "PUT", `/${s3.bucket}/prod/shop/crash.zip`, { body: readFileSync(bundle) });
      expect(put.status).toBe(200);
      const { STORE_URL: _, S3_BUCKET_NAME: __, ...env } = s3.env;
      const files = [join(build, "server"), join(build, "server.debug")];
      expect(outcomeOf(await inspect(["symbols", "push", "--store", "s3://cores/prod", ...files], env))).toBe("exit 0");
      const { stdout } = await inspect(["bt", "--raw", "s3://cores/prod/shop/crash.zip"], env);
      expect(stdout).toMatch(/frame_three.*frames\.c:6/);
    });
  },
);
