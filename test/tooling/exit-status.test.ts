import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ENDING_SIGNALS, EXIT, EXIT_STATUSES, type EndingSignal } from "@cdh/core/exit-status";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, runBuilt, type Program } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { verbsIn } from "../helpers/verbs.ts";

const place = scratchDirectory("exit-status");
const PROGRAMS: Program[] = ["cdc", "cdh-sysctl", "cdh-upload", "cdh-inspect", "cdh-api"];
const env = { PATH: process.env["PATH"] ?? "" };

// Dozens of program starts, on a machine that may have much to do.
vi.setConfig({ testTimeout: 300_000 });

/** Verbs of a program, as its own first page of help names them. */
async function verbsOf(program: Program): Promise<string[]> {
  const { stdout } = await runBuilt(program, ["--help"], { env });
  return verbsIn(stdout);
}

describeUnless(notBuilt(...PROGRAMS), "exit statuses of the built programs", () => {
  describe.each(PROGRAMS)("%s", (program) => {
    it.each([
      ["--version", [["--version"]], EXIT.ok],
      ["--help", [["--help"]], EXIT.ok],
      ["a completion script", [["completion", "bash"]], EXIT.ok],
      [
        "an unknown flag or verb",
        [
          ["completion", "bash", "--nonsense"],
          ["completion", "klingon"],
        ],
        undefined,
      ],
    ] as const)("%s", async (_what, lines, status) => {
      for (const [at, line] of lines.entries()) {
        const result = await runBuilt(program, line, { env });
        const wanted = status ?? (at === 0 ? EXIT.usage : result.exitCode);
        expect(`${line.join(" ")}: ${result.exitCode}\n${result.stderr}`).toContain(`: ${wanted}\n`);
        expect(Object.values(EXIT)).toContain(result.exitCode);
      }
    });

    it("each help page ends with the table", async () => {
      const verbs = await verbsOf(program);
      expect(verbs.length).toBeGreaterThan(1);
      for (const verb of verbs) {
        const { stdout, exitCode } = await runBuilt(program, [...verb.split(" "), "--help"], { env });
        expect(`${verb} ${exitCode}`).toBe(`${verb} ${EXIT.ok}`);
        const text = stdout.replaceAll(/\s+/g, " ");
        for (const { status, short } of Object.values(EXIT_STATUSES))
          expect(text, verb).toContain(`${status} ${short}`);
      }
    });
  });

  it("a setting that is none is 10 in every program that people run", async () => {
    const wrong: [Program, string[], Record<string, string>][] = [
      ["cdh-sysctl", ["install", "--set", "KEEP_FREE=some"], {}],
      ["cdh-upload", ["run"], { STORE_URL: "nonsense" }],
      ["cdh-api", ["serve"], { STORE_URL: "nonsense" }],
      ["cdh-inspect", ["show", "s3://"], {}],
    ];
    for (const [program, args, more] of wrong) {
      const { exitCode, stderr } = await runBuilt(program, args, { env: { ...env, ...more } });
      expect(`${program} ${exitCode}\n${stderr}`).toContain(`${program} ${EXIT.config}\n`);
    }
  });

  it("what is not there is 12", async () => {
    const { exitCode } = await runBuilt("cdh-inspect", ["show", join(place, "none.zip")], { env });
    expect(exitCode).toBe(EXIT.notFound);
  });

  describe("a signal ends work that is not done with 128 and its number", () => {
    let silent: Server;
    let port = 0;
    beforeAll(async () => {
      silent = createServer(() => undefined);
      silent.listen(0, "127.0.0.1");
      await once(silent, "listening");
      port = (silent.address() as AddressInfo).port;
      mkdirSync(join(place, "spool"));
      const bundle = makeSampleEntries(Buffer.alloc(1000));
      writeFileSync(join(place, "spool/one.zip"), makeRawZip([bundle.core, bundle.manifest]));
    });
    afterAll(() => void silent?.close());

    const store = (): Record<string, string> => ({
      STORE_URL: "s3://bucket",
      STORE_ENDPOINT: `http://127.0.0.1:${port}`,
      S3_ENDPOINT: `http://127.0.0.1:${port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "a",
      AWS_SECRET_ACCESS_KEY: "b",
    });
    /** Each connects, and then waits for a store that says nothing. */
    const work: Record<string, () => Record<string, string>> = {
      "cdh-inspect ls s3://bucket": store,
      "cdh-inspect show s3://bucket/key.zip": store,
      "cdh-upload check": store,
      "cdh-upload sweep": () => ({ ...store(), CORE_DIR: join(place, "spool") }),
      "cdh-api prune --dry-run": () => ({ ...store(), RETENTION_MAX_AGE: "1d" }),
    };

    it.each(
      Object.keys(work).flatMap((line) =>
        Object.entries(ENDING_SIGNALS).map(([signal, status]) => [line, signal, status] as const),
      ),
    )("%s by %s: %i", async (line, signal, status) => {
      const [program = "", ...args] = line.split(" ");
      const connected = once(silent, "connection");
      const child = spawn(builtPath(program as Program), args, {
        env: { ...env, ...work[line]?.() },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding("utf8").on("data", (text) => (output += text));
      const ended = once(child, "close") as Promise<[number | null, string | null]>;
      await Promise.race([connected, ended, delay(90_000)]);
      child.kill(signal as EndingSignal);
      const [code] = await ended;
      expect(`${code}\n${output}`).toContain(`${status}\n`);
    });
  });
});
