import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notBuilt, runBuilt, type BuiltOptions, type BuiltResult } from "../helpers/built.ts";

/** The kernel's three settings, as files of a fake /proc. */
export const FILES = {
  core_pattern: "sys/kernel/core_pattern",
  core_pipe_limit: "sys/kernel/core_pipe_limit",
  suid_dumpable: "sys/fs/suid_dumpable",
} as const;

/** Values by the names of their backup files. */
export type Values = Record<keyof typeof FILES, string>;

/** A node that is a temporary directory: plain files stand for the kernel's settings, a script for the composer. */
export interface Host extends Disposable {
  directory: string;
  proc: string;
  hostDir: string;
  coreDir: string;
  values(): Values;
  set(values: Partial<Values>): void;
  /** Write a script that answers like a composer of this version. */
  composer(version: string): string;
  /** Run the built cdh-sysctl on this node. */
  run(args: readonly string[], options?: BuiltOptions): Promise<BuiltResult>;
}

/** Values that no program of ours would choose: a restore has to bring exactly these back. */
export const OWN: Values = { core_pattern: "/var/own/core.%e", core_pipe_limit: "7", suid_dumpable: "1" };

/** Say why these suites can't run here, or undefined. */
export function sysctlSuiteUnavailable(): string | undefined {
  if (process.platform !== "linux") return "not Linux";
  if (process.getuid?.() !== 0) return "not root";
  return notBuilt("cdh-sysctl");
}

/** Make a node with values of its own. */
export function makeHost(values: Partial<Values> = {}): Host {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "cdhs-")));
  const proc = join(directory, "proc");
  for (const folder of ["sys/kernel", "sys/fs"]) mkdirSync(join(proc, folder), { recursive: true });
  const hostDir = join(directory, "h");
  const host: Host = {
    directory,
    proc,
    hostDir,
    coreDir: join(hostDir, "cores"),
    values: () =>
      Object.fromEntries(
        Object.entries(FILES).map(([name, file]) => [name, readFileSync(join(proc, file), "utf8").trimEnd()]),
      ) as Values,
    set: (wanted) => {
      for (const [name, value] of Object.entries(wanted)) {
        writeFileSync(join(proc, FILES[name as keyof Values]), `${value}\n`);
      }
    },
    composer: (version) => {
      const path = join(directory, `composer-${version}`);
      writeFileSync(
        path,
        `#!/bin/sh\ncase "$1" in --version) echo ${version} ;; --self-test) ;; *) cat >/dev/null ;; esac\n`,
      );
      chmodSync(path, 0o755);
      return path;
    },
    run: (args, options = {}) =>
      runBuilt("cdh-sysctl", args, {
        ...options,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOST_DIR: hostDir,
          PROC_ROOT: proc,
          COMPOSER: join(directory, "composer-1"),
          // Plain files stand for the kernel here: no crash can arrive.
          PROVE_CAPTURE: "false",
          ...options.env,
        },
      }),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
  host.composer("1");
  host.set({ ...OWN, ...values });
  return host;
}

/** List what is left in HOST_DIR, or undefined when it is gone. */
export function isGone(path: string): boolean {
  return !existsSync(path);
}
