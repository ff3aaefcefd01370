import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const SOURCE = join(REPOSITORY, "test/inspect/nodes");
const CACHE = join(REPOSITORY, ".cache/nodes");
/** Debian's `nobody`. */
const NOBODY = 65534;

/** Get the pinned Nodes from npm, or say why they cannot be had. */
function nodesUnavailable(): string | undefined {
  if (process.arch !== "x64") return "the pinned Nodes are for x64";
  if (existsSync(join(CACHE, "node_modules/node-24/bin/node"))) return undefined;
  mkdirSync(CACHE, { recursive: true });
  for (const name of readdirSync(SOURCE)) copyFileSync(join(SOURCE, name), join(CACHE, name));
  const { status, stderr } = spawnSync("npm", ["ci", "--loglevel=error"], { cwd: CACHE, encoding: "utf8" });
  return status === 0 ? undefined : `npm gives no other Node: ${stderr.trim().split("\n")[0] ?? ""}`;
}

const reason =
  notBuilt("cdh-inspect") ??
  missingTools("setpriv", "npm") ??
  (process.getuid?.() === 0 ? undefined : "not root: cannot become another user") ??
  nodesUnavailable();

describeUnless(reason, "the npm package of cdh-inspect, installed by a normal user", () => {
  let place: string;

  /** Run with one Node, first on PATH, as somebody who owns nothing but this directory. */
  const asUser = (node: string, command: string, ...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync("setpriv", [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", command, ...args], {
      cwd: place,
      encoding: "utf8",
      env: {
        PATH: `${join(place, node)}:${process.env["PATH"] ?? ""}`,
        HOME: place,
        npm_config_update_notifier: "false",
      },
    });

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-nodes-"));
    const tarball = execFileSync(
      process.execPath,
      [join(REPOSITORY, "scripts/pack-inspect.ts"), join(place, "packed")],
      {
        encoding: "utf8",
      },
    ).trim();
    copyFileSync(tarball, join(place, "cdh-inspect.tgz"));
    copyFileSync(join(REPOSITORY, "test/fixtures/bundles/older/ibm-v8.zip"), join(place, "crash.zip"));
    await writeFile(join(place, "package.json"), '{"private":true}');
    const nodes = { "node-26": process.execPath, ...nodesIn(CACHE) };
    for (const [name, path] of Object.entries(nodes)) {
      mkdirSync(join(place, name));
      cpSync(path, join(place, name, "node"), { dereference: true });
      chmodSync(join(place, name, "node"), 0o755);
    }
    execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, place]);
    chownSync(place, NOBODY, NOBODY);
    const npm = execFileSync("sh", ["-c", 'readlink -f "$(command -v npm)"'], { encoding: "utf8" }).trim();
    const flags = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const installed = asUser("node-24", join(place, "node-24/node"), npm, "install", ...flags, "./cdh-inspect.tgz");
    if (installed.status !== 0) throw new Error(`npm install: ${String(installed.stderr)}`);
  }, 180_000);

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it.each(["node-22", "node-24", "node-26"])("runs on %s", (node) => {
    const bin = join(place, "node_modules/.bin/cdh-inspect");
    const shown = asUser(node, bin, "show", "crash.zip");
    expect([shown.status, shown.stderr]).toEqual([0, ""]);
    expect(shown.stdout).toContain("threads died of SIGSEGV in payments/checkout-7d9f");
    const out = join(place, `out-${node}`);
    expect(asUser(node, bin, "unpack", "crash.zip", out, "--entry", "core").status).toBe(0);
    expect(asUser(node, bin, "verify", "crash.zip").stdout).toContain("undamaged");
    const plugin = asUser(node, join(dirname(bin), "kubectl-coredump"), "--help");
    expect(plugin.stdout).toContain("Usage: kubectl coredump COMMAND");
  });

  it("lists the rest where a directory is somebody else's", () => {
    mkdirSync(join(place, "spool/private"), { recursive: true });
    copyFileSync(join(place, "crash.zip"), join(place, "spool/crash.zip"));
    chmodSync(join(place, "spool/private"), 0o700);
    const listed = asUser("node-26", join(place, "node_modules/.bin/cdh-inspect"), "ls", "spool");
    expect(listed.status).toBe(3);
    expect(listed.stdout).toContain("crash.zip");
    expect(listed.stderr).toMatch(/cannot look into spool\/private: permission denied \(CDH_DISK\)/);
  });

  it("tells Node 20 what it needs", () => {
    const told = asUser("node-20", join(place, "node_modules/.bin/cdh-inspect"), "show", "crash.zip");
    expect(told.status).toBe(11);
    expect(told.stderr).toBe("cdh-inspect: Node 22.15 or later is needed, this is v20.20.2\n");
  });
});

function nodesIn(cache: string): Record<string, string> {
  const names = ["node-20", "node-22", "node-24"];
  return Object.fromEntries(names.map((name) => [name, join(cache, "node_modules", name, "bin/node")]));
}
