import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Problem } from "@cdh/core/bundle/manifest";
import { makeCrash } from "@cdh/core/testing/fake-node";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeSettings } from "../testing/test-settings.ts";
import { chainCore, type ChainResult } from "./chain.ts";

const CRASH = makeCrash({
  pid: 42,
  pidInNamespace: 1,
  signal: 11,
  comm: "my app",
  timestamp: 17,
  rlimitCoreBytes: "unlimited",
});
const CORE = Buffer.from(new SeededRandom(1).bytes(3_000_000));

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "cdh-chain-"));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** Make a handler, and the backup that names it. */
function before(body: string, words: string): string {
  const handler = join(scratch, "handler");
  writeFileSync(handler, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  backup(`|${handler} ${words}`);
  return handler;
}

function backup(pattern: string): void {
  writeFileSync(join(scratch, "core_pattern.bak"), `${pattern}\n`);
}

async function chain(
  env: Record<string, string> = {},
): Promise<{ result: ChainResult | undefined; problems: Problem[]; taken: number; closed: boolean }> {
  const seen = { taken: 0, closed: false };
  const input = {
    read: async (buffer: Buffer, offset: number, length: number) => {
      const count = Math.min(length, CORE.length - seen.taken, 70_000);
      buffer.set(CORE.subarray(seen.taken, seen.taken + count), offset);
      seen.taken += count;
      return count;
    },
    close: async () => void (seen.closed = true),
  };
  const given = { input, crash: CRASH, settings: makeSettings(env), exeDir: scratch };
  const outcome = await chainCore(given, { state: "verified", uid: 7, gid: 8, files: [], problems: [] });
  const [result, problems] = "result" in outcome ? [outcome.result, []] : [undefined, [outcome.declined]];
  return { result, problems, ...seen };
}

describe("chainCore", () => {
  it("gives the handler its own words, every byte, and nothing else", async () => {
    const [words, core, env] = ["words", "core", "env"].map((name) => join(scratch, name)) as [string, string, string];
    const handler = before(
      `printf '%s\\n' "$PWD" "$@" >${words}; /usr/bin/env >${env}; /bin/cat >${core}`,
      "%P %u.%g %s %c %e $(id) ; %%x %z",
    );
    const { result, problems, closed } = await chain();
    expect(result).toEqual({ handler, passedBytes: CORE.length, ended: "status 0" });
    expect(problems).toEqual([]);
    expect(closed).toBe(true);
    expect(readFileSync(core).equals(CORE)).toBe(true);
    expect(readFileSync(words, "utf8").split("\n")).toEqual([
      "/",
      "42",
      "7.8",
      "11",
      "18446744073709551615",
      "my app",
      "$(id)",
      ";",
      "%x",
      "",
      "",
    ]);
    // What a shell sets for itself; nothing of ours.
    expect(readFileSync(env, "utf8").replaceAll(/^(PWD|SHLVL|_)=.*\n/gm, "")).toBe("");
  });

  it("a handler that stops reading has what it wanted", async () => {
    before("/usr/bin/head -c 10 >/dev/null; exit 3", "%P");
    const { result, problems } = await chain();
    expect(result).toMatchObject({ ended: "status 3" });
    expect(problems).toEqual([]);
  });

  it("a handler that never ends is left to itself after TIMEOUT", async () => {
    const pid = join(scratch, "pid");
    before(`echo $$ >${pid}; exec /bin/sleep 60`, "%P");
    const { result } = await chain({ TIMEOUT: "1" });
    expect(result?.ended).toBeUndefined();
    process.kill(Number(readFileSync(pid, "utf8")));
  });

  it.each([
    ["a file", () => backup("core.%p"), "names no pipe handler"],
    ["a socket", () => backup("@@/run/systemd/coredumpd/kernel"), "names a socket (/run/systemd/coredumpd/kernel)"],
    ["nothing", () => backup(""), "names no pipe handler"],
    ["no backup", () => {}, "names no pipe handler"],
    ["an empty pipe", () => backup("|"), "no absolute path"],
    ["a relative path", () => backup("|bin/handler"), "no absolute path"],
    ["a handler that is gone", () => backup("|/no/such/handler %P"), "no such file"],
    ["a handler that is no program", () => backup("|/etc %P"), "cannot start"],
    ["ourselves", () => backup(`|${process.execPath} -P=%P`), "this composer"],
  ])("%s: the core is not touched, and the reason is told", async (_what, prepare, reason) => {
    prepare();
    const { result, problems, taken, closed } = await chain();
    expect(result).toBeUndefined();
    expect(problems).toEqual([
      { step: "chain", code: "CDH_CHAIN_IMPOSSIBLE", detail: expect.stringContaining(reason) },
    ]);
    expect({ taken, closed }).toEqual({ taken: 0, closed: false });
    expect(existsSync(join(scratch, "cores"))).toBe(false);
  });
});
