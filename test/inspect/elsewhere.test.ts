import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";

/** What a Node of macOS would say of itself, as far as a script can ask. */
const DARWIN = `
Object.defineProperty(process, "platform", { value: "darwin" });
process.env.TMPDIR ??= "/tmp";
`;

/** Everything that needs no debugger, container or cluster. */
const COMMANDS: readonly (readonly string[])[] = [
  ["ls", "-o", "json", "."],
  ["show", "-o", "json", "crash.zip"],
  ["threads", "crash.zip"],
  ["modules", "crash.zip"],
  ["logs", "crash.zip"],
  ["cat", "crash.zip", "core", "--range", "0+65536"],
  ["bt", "--raw", "-o", "json", "crash.zip"],
  ["debug", "--print", "crash.zip"],
  ["verify", "crash.zip"],
  ["report", "--format", "json", "crash.zip"],
  ["completion", "zsh"],
];

/** Looked at on Linux alone, before a file is opened that a core names: a mount can wait for ever. */
const MOUNTS = "/proc/self/mountinfo";
const CPUS = "/sys/devices/system/cpu/";

/** There is no macOS to run this on; this is a Linux without what only Linux has. */
describeUnless(
  notBuilt("cdh-inspect") ??
    missingTools("unshare", "mount") ??
    (process.getuid?.() === 0 ? undefined : "not root: cannot hide /proc"),
  "cdh-inspect on a system that is not Linux",
  () => {
    let place: string;
    let main: string;
    const node = process.execPath;

    beforeAll(async () => {
      place = await mkdtemp(join(tmpdir(), "cdh-elsewhere-"));
      execFileSync(node, [join(REPOSITORY, "scripts/pack-inspect.ts"), join(place, "packed")], { stdio: "pipe" });
      main = join(place, "packed/cdh-inspect/cdh-inspect.mjs");
      await writeFile(join(place, "darwin.mjs"), DARWIN);
      await writeFile(
        join(place, "crash.zip"),
        await readFile(join(REPOSITORY, "test/fixtures/bundles/older/ibm-v8.zip")),
      );
    }, 120_000);

    afterAll(async () => {
      await rm(place, { recursive: true, force: true });
    });

    const env = (): Record<string, string> => ({ PATH: process.env["PATH"] ?? "", HOME: place });

    it("says the same as darwin, without /proc, /sys and /dev/shm", () => {
      const hide = "for d in /proc /sys /dev/shm; do mount -t tmpfs -o ro,nosuid none $d || exit 99; done";
      for (const args of [...COMMANDS, ["unpack", "-o", "json", "crash.zip", "out"]]) {
        const here = spawnSync(node, [main, ...args], { cwd: place, env: env() });
        if (args[0] === "unpack") execFileSync("rm", ["-r", join(place, "out")]);
        const words = [`${hide}; exec "$0" "$@"`, node, "--import", join(place, "darwin.mjs"), main, ...args];
        const there = spawnSync("unshare", ["-m", "sh", "-c", ...words], { cwd: place, env: env() });
        expect([args.join(" "), there.status, there.stderr.toString()]).toEqual([
          args.join(" "),
          here.status,
          here.stderr.toString(),
        ]);
        expect(withoutTimes(there.stdout)).toBe(withoutTimes(here.stdout));
        expect(there.stdout.length).toBeGreaterThan(20);
      }
    }, 300_000);

    it("asks /proc and /sys for nothing", (context) => {
      const { reason, path: strace = "strace" } = findTool("strace");
      if (reason !== undefined) skipAloud(context, reason);
      const touched = (words: readonly string[]): Set<string> => {
        const log = join(place, "strace.log");
        const traced = ["-f", "-qq", "-s", "200", "-e", "trace=%file", "-o", log, node, ...words];
        const run = spawnSync(strace, traced, { cwd: place, env: env() });
        expect([0, 3], run.stderr.toString()).toContain(run.status);
        const text = execFileSync("cat", [log], { encoding: "utf8", maxBuffer: 2 ** 28 });
        return new Set([...text.matchAll(/"(\/(?:proc|sys|dev\/shm)\/[^"]*)"/g)].map(([, path = ""]) => path));
      };
      // What Node and its libraries want to know of the machine when they start.
      const byNode = touched(["-e", "0"]);
      for (const args of COMMANDS) {
        // V8 looks there for how to read the time, when it first has to.
        const ours = [...touched([main, ...args])].filter(
          (path) => !byNode.has(path) && !path.startsWith(CPUS) && path !== MOUNTS,
        );
        expect([args.join(" "), ours]).toEqual([args.join(" "), []]);
      }
    }, 300_000);
  },
);

/** Ages and durations differ from run to run. */
function withoutTimes(output: Buffer): string {
  return output.toString("latin1").replaceAll(/"durationMs": *\d+|\d+d \d+h ago/g, "");
}
