import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCore } from "@cdh/core/testing/core-builder";
import { SeededRandom } from "@cdh/core/testing/random";
import { type BuiltOptions, type BuiltResult, builtPath, runPath } from "../helpers/built.ts";
import { openBundleFile, type OpenBundle } from "../helpers/bundle-files.ts";

/** A host directory with the built composer in it, driven as the kernel drives it, but with input of the test's own. */
export interface Rig extends AsyncDisposable {
  readonly hostDir: string;
  readonly coreDir: string;
  /** Write HOST_DIR/.env: settings by name, or its exact bytes. */
  env(settings: Record<string, string> | Buffer | string): void;
  /** Run it with an empty environment, cwd `/`, stdout and stderr closed. Default words: those of the kernel's line. */
  run(
    stdin: NonNullable<BuiltOptions["stdin"]>,
    options?: { args?: readonly string[] } & Partial<BuiltOptions>,
  ): Promise<BuiltResult>;
  /** Names in the spool, all of them. */
  spool(): string[];
  /** Open the only published bundle. @throws {Error} when there is not exactly one, with the log */
  bundle(): Promise<OpenBundle>;
  bundles(): Promise<OpenBundle[]>;
  logText(): string;
}

/** Words as the kernel fills them in for a process that is gone already. */
export function kernelWords(changes: Record<string, string> = {}): string[] {
  const words = {
    P: "4194303",
    p: "4194303",
    i: "4194303",
    u: "0",
    g: "0",
    s: "11",
    t: "1700000000",
    c: "18446744073709551615",
    m: "1",
    F: "",
    h: "node-1",
    e: "crashy",
    E: "!usr!bin!crashy",
    ...changes,
  };
  return Object.entries(words).map(([flag, value]) => `-${flag}=${value}`);
}

/** A small whole core: one thread's notes and `memory` at 0x10000. */
export function smallCore(memory: Uint8Array): Buffer {
  const prstatus = Buffer.alloc(336);
  prstatus.writeInt32LE(11, 0);
  prstatus.writeInt16LE(11, 12);
  prstatus.writeInt32LE(4194303, 32);
  const siginfo = Buffer.alloc(128);
  siginfo.writeInt32LE(11, 0);
  siginfo.writeInt32LE(1, 8);
  siginfo.writeBigUInt64LE(0xdeadn, 16);
  return Buffer.from(
    buildCore({
      machine: 62,
      notes: [
        { name: "CORE", type: 1, desc: prstatus },
        { name: "CORE", type: 0x53494749, desc: siginfo },
      ],
      segments: [{ vaddr: 0x10000n, bytes: memory, flags: 6 }],
    }),
  );
}

/** Bytes that don't compress, the same every time. */
export function noise(length: number, seed = 1): Buffer {
  const random = new SeededRandom(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at++) words[at] = random.integer(0x100000000);
  return Buffer.from(words.buffer, 0, length);
}

function place(source: string, target: string): void {
  try {
    linkSync(source, target);
  } catch {
    copyFileSync(source, target);
  }
}

/**
 * Make a host directory with the built composer.
 * @param options.coreDir another spool than HOST_DIR/cores: a tiny file system, a path that can't be
 */
export function makeRig(options: { coreDir?: string } = {}): Rig {
  const hostDir = mkdtempSync(join(tmpdir(), "cdh-rig-"));
  const composer = join(hostDir, "cdc");
  place(builtPath("cdc"), composer);
  const coreDir = options.coreDir ?? join(hostDir, "cores");
  if (options.coreDir === undefined) mkdirSync(coreDir, { mode: 0o700 });
  const env: Rig["env"] = (settings) => {
    const text =
      typeof settings === "string" || Buffer.isBuffer(settings)
        ? settings
        : Object.entries({ CORE_DIR: coreDir, RATE_LIMIT: "0", ...settings })
            .map(([name, value]) => `${name}=${value}\n`)
            .join("");
    writeFileSync(join(hostDir, ".env"), text, { mode: 0o600 });
  };
  env({});
  const spool = (): string[] => (existsSync(coreDir) ? readdirSync(coreDir).sort() : []);
  const logText = (): string =>
    existsSync(join(hostDir, "composer.log")) ? readFileSync(join(hostDir, "composer.log"), "utf8") : "";
  const bundles = (): Promise<OpenBundle[]> =>
    Promise.all(
      spool()
        .filter((name) => name.endsWith(".zip") && !name.startsWith("."))
        .map((name) => openBundleFile(join(coreDir, name))),
    );
  return {
    hostDir,
    coreDir,
    env,
    spool,
    logText,
    bundles,
    run: (stdin, { args = kernelWords(), ...rest } = {}) =>
      runPath(composer, args, { env: {}, cwd: "/", closeOutput: true, stdin, ...rest }),
    bundle: async () => {
      const [first, ...others] = await bundles();
      if (first === undefined || others.length > 0) {
        throw new Error(`not exactly one bundle in ${JSON.stringify(spool())}; log:\n${logText()}`);
      }
      return first;
    },
    [Symbol.asyncDispose]: async () => rmSync(hostDir, { recursive: true, force: true }),
  };
}
