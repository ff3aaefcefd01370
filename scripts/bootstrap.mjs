/**
 * Set up the pinned toolchain and the workspace, then run one task with it.
 *
 *   node scripts/bootstrap.mjs                 only set up
 *   node scripts/bootstrap.mjs <task> [args]   build, test, check, format, demo, docs, bench, fuzz
 *   node scripts/bootstrap.mjs -- cmd [args]   any command, pinned Node first on PATH
 *
 * Plain JavaScript without dependencies: it must run on whatever Node (>= 20) the machine has.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { withLock } from "./lock.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const cache = path.join(root, ".cache");
const toolchain = path.join(cache, "toolchain");
const lockFile = path.join(cache, "bootstrap.lock");
const toolBin = path.join(toolchain, "bin");

/** A task is a script that the pinned Node runs. */
const tasks = {
  build: "scripts/build.ts",
  test: "scripts/test.ts",
  check: "scripts/check.ts",
  format: "scripts/format.ts",
  demo: "scripts/demo.ts",
  docs: "scripts/docs.ts",
  bench: "test/bench/main.ts",
  fuzz: "test/fuzz/main.ts",
};

/** A failure that the reader can act on: shown without a stack. */
class BootstrapError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

function say(text) {
  process.stderr.write(`bootstrap: ${text}\n`);
}

function tellWaiting(holder) {
  say(`waiting for another set-up (process ${holder}) …`);
}

function hashOf(files) {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  for (const file of files) {
    hash.update(`${path.relative(root, file)}\n`);
    hash.update(fs.readFileSync(file));
  }
  return hash.digest("hex");
}

function readIfThere(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** Leave out what an outer `npm run` says about itself; keep what the user configured. */
function cleanEnvironment() {
  const own =
    /^(npm_(lifecycle|package)_.*|npm_(command|execpath|node_execpath)|npm_config_(user_agent|npm_version|node_gyp|local_prefix|global_prefix|prefix|init_module|globalconfig|noproxy|cache|userconfig)|INIT_CWD)$/;
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (own.test(name)) delete env[name];
  }
  return env;
}

/** Run a set-up step and keep its output for the case that it fails. */
function step(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output: output.trim() }));
  });
}

function explain(what, output) {
  const tail = output.split("\n").slice(-15).join("\n");
  if (
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|error sending request|dns error|fetch failed|network|META_FETCH_FAIL/i.test(
      output,
    )
  ) {
    return new BootstrapError(
      `${what}: the package registry cannot be reached\n${tail}`,
      "check the network and `npm config get registry`; behind a proxy set HTTPS_PROXY, with an own CA NODE_EXTRA_CA_CERTS",
    );
  }
  if (/OUTDATED_LOCKFILE|frozen-lockfile/i.test(output)) {
    return new BootstrapError(
      `${what}: pnpm-lock.yaml does not match the package.json files\n${tail}`,
      "run `node scripts/bootstrap.mjs -- pnpm install` and commit pnpm-lock.yaml",
    );
  }
  if (/E404|404 Not Found|No match found/i.test(output)) {
    return new BootstrapError(
      `${what}: the registry does not have a pinned version\n${tail}`,
      "is `npm config get registry` a full mirror?",
    );
  }
  if (/ENOSPC|no space left/i.test(output)) {
    return new BootstrapError(`${what}: no space left on device\n${tail}`, "about 1 GB is needed");
  }
  return new BootstrapError(`${what} failed\n${tail}`);
}

/** Node, pnpm and Bun, as plain npm packages for this platform: no install script runs. */
async function ensureToolchain() {
  const source = path.join(root, "scripts", "toolchain");
  const inputs = ["package.json", "package-lock.json", ".npmrc"].map((name) => path.join(source, name));
  const stampFile = path.join(toolchain, "stamp");
  const wanted = hashOf(inputs);
  if (readIfThere(stampFile) === wanted) return;

  const suffix = { x64: ["x64", "x64"], arm64: ["arm64", "aarch64"] }[process.arch];
  if (process.platform !== "linux" || suffix === undefined) {
    throw new BootstrapError(
      `there is no toolchain for ${process.platform} ${process.arch}`,
      "use Linux on x64 or arm64, in a container or a virtual machine",
    );
  }
  await withLock(
    lockFile,
    async () => {
      if (readIfThere(stampFile) === wanted) return;
      say("installing Node, pnpm and Bun (once, about 130 MB) …");
      const started = Date.now();
      fs.rmSync(stampFile, { force: true });
      fs.mkdirSync(toolBin, { recursive: true });
      for (const file of inputs) fs.copyFileSync(file, path.join(toolchain, path.basename(file)));
      const env = cleanEnvironment();
      const result = await step("npm", ["ci", "--loglevel=error"], {
        cwd: toolchain,
        env: cleanEnvironment(),
      }).catch((error) => {
        throw error.code === "ENOENT" ? new BootstrapError("npm is not on PATH", "install Node >= 20 with npm") : error;
      });
      if (result.status !== 0) throw explain("installing the toolchain", result.output);
      const [arch, bunArch] = suffix;
      const executables = {
        node: `node-linux-${arch}/bin/node`,
        pnpm: `@pnpm/exe.linux-${arch}/pnpm`,
        bun: `@oven/bun-linux-${bunArch}/bin/bun`,
      };
      for (const [tool, target] of Object.entries(executables)) {
        const link = path.join(toolBin, tool);
        if (!fs.existsSync(path.join(toolchain, "node_modules", target))) {
          // npm takes an optional package that it cannot get for one that is not wanted: ask it once more, aloud.
          const name = target
            .split("/")
            .slice(0, target.startsWith("@") ? 2 : 1)
            .join("/");
          const asked = await step("npm", ["view", name, "version", "--loglevel=error"], { cwd: toolchain, env });
          if (asked.status !== 0) throw explain(`installing ${name}`, asked.output);
          throw new BootstrapError(`npm left out ${name}`, "is `optional` switched off in your npm configuration?");
        }
        fs.rmSync(link, { force: true });
        fs.symlinkSync(path.join("..", "node_modules", target), link);
      }
      fs.writeFileSync(stampFile, wanted);
      say(`toolchain ready after ${((Date.now() - started) / 1000).toFixed(1)} s`);
    },
    tellWaiting,
  );
}

/** The workspace's packages, exactly as pnpm-lock.yaml says. */
async function ensurePackages() {
  const folders = fs.readdirSync(path.join(root, "packages"));
  const inputs = [
    "package.json",
    "pnpm-workspace.yaml",
    "pnpm-lock.yaml",
    ...folders.toSorted().map((name) => `packages/${name}/package.json`),
  ]
    .map((name) => path.join(root, name))
    .filter((file) => fs.existsSync(file));
  const stampFile = path.join(root, "node_modules", ".bootstrap-stamp");
  if (readIfThere(stampFile) === hashOf(inputs)) return;
  await withLock(
    lockFile,
    async () => {
      const wanted = hashOf(inputs);
      if (readIfThere(stampFile) === wanted) return;
      say("installing packages …");
      const started = Date.now();
      const result = await step(path.join(toolBin, "pnpm"), ["install", "--frozen-lockfile"], {
        cwd: root,
        env: { ...packageManagerEnvironment(), CI: "1" },
      });
      if (result.status !== 0) throw explain("installing packages", result.output);
      fs.writeFileSync(stampFile, wanted);
      say(`packages ready after ${((Date.now() - started) / 1000).toFixed(1)} s`);
    },
    tellWaiting,
  );
}

function taskEnvironment() {
  const env = cleanEnvironment();
  const local = path.join(root, "node_modules", ".bin");
  env.PATH = [toolBin, local, env.PATH ?? "/usr/local/bin:/usr/bin:/bin"].join(path.delimiter);
  return env;
}

/** pnpm reads .npmrc files, but not npm's variable for the registry. */
function packageManagerEnvironment() {
  const env = taskEnvironment();
  const registry = env.npm_config_registry ?? env.NPM_CONFIG_REGISTRY;
  return registry === undefined ? env : { pnpm_config_registry: registry, ...env };
}

/** Does the terminal itself send Ctrl-C to our whole process group, child included? */
function terminalSignalsGroup() {
  try {
    const stat = fs.readFileSync("/proc/self/stat", "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[2] === fields[5];
  } catch {
    return false;
  }
}

/**
 * Run the task, wait for it, and end as it ended. A signal reaches the child once: a Ctrl-C comes
 * from the terminal directly, and npm repeats it, so repetitions within a second are dropped.
 */
function runTask(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: process.cwd(), env: taskEnvironment(), stdio: "inherit" });
    const lastSent = new Map();
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    const forward = (signal) => {
      const now = performance.now();
      const last = lastSent.get(signal);
      lastSent.set(signal, now);
      if (last !== undefined && now - last < 1000) return;
      if (signal === "SIGINT" && terminalSignalsGroup()) return;
      child.kill(signal);
    };
    for (const signal of signals) process.on(signal, forward);
    child.on("error", (error) => {
      reject(
        error.code === "ENOENT" ? new BootstrapError(`cannot run ${command}: it is not on PATH`, undefined) : error,
      );
    });
    child.on("exit", (status, signal) => {
      for (const each of signals) process.removeListener(each, forward);
      if (signal !== null) process.kill(process.pid, signal);
      resolve(status ?? 1);
    });
  });
}

async function main(args) {
  const [task, ...rest] = args;
  const isCommand = task === "--";
  if (task === "--help" || task === "-h" || (isCommand && rest.length === 0)) {
    process.stdout.write(`node scripts/bootstrap.mjs [${Object.keys(tasks).join(" | ")} | -- cmd] [args …]\n`);
    return 0;
  }
  if (task !== undefined && !isCommand && tasks[task] === undefined) {
    throw new BootstrapError(`there is no task \`${task}\``, `tasks: ${Object.keys(tasks).join(", ")}; or \`-- cmd\``);
  }
  await ensureToolchain();
  // `-- pnpm install` must be able to mend a lock file that no longer fits.
  if (!(isCommand && rest[0] === "pnpm")) await ensurePackages();
  if (task === undefined) return 0;
  if (isCommand) return runTask(rest[0], rest.slice(1));
  const script = path.join(root, tasks[task]);
  if (!fs.existsSync(script))
    throw new BootstrapError(`the task \`${task}\` needs ${tasks[task]}, which does not exist`);
  return runTask(path.join(toolBin, "node"), [script, ...rest]);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  say(error.message);
  if (error.hint !== undefined) say(`hint: ${error.hint}`);
  process.exitCode = 1;
}
