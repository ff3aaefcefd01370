import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cdh/core/clock";
import { inspectComposer } from "../change/composer-source.ts";
import type { Desired } from "../change/desired.ts";
import { desiredValues } from "../change/install.ts";
import { kernelValuePath, readKernelValue, type KernelValueName, type KernelValues } from "../node/kernel-values.ts";
import type { Node } from "../node/target-node.ts";

/** A node in a temporary directory: plain files stand for the kernel's settings. */
export interface FakeNode extends Node {
  directory: string;
  kernel(name: KernelValueName): string;
  setKernel(values: Partial<KernelValues>): void;
  /** Write a small script that behaves like a composer, of any version. */
  composer(version?: string, body?: string): string;
  remove(): void;
}

/** Make a node whose kernel has the given values. */
export function makeFakeNode(values: Partial<KernelValues> = {}): FakeNode {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "cdh-sysctl-")));
  const roots = { host: "/", proc: join(directory, "proc"), sys: join(directory, "sys") };
  for (const folder of ["kernel", "fs"]) mkdirSync(join(roots.proc, "sys", folder), { recursive: true });
  const hostDir = join(directory, "h");
  const node: FakeNode = {
    directory,
    roots,
    clock: systemClock,
    hostDir,
    coreDir: join(hostDir, "cores"),
    eventDir: join(hostDir, "events"),
    kernel: (name) => readKernelValue(roots, name),
    setKernel: (wanted) => {
      for (const [name, value] of Object.entries(wanted)) {
        writeFileSync(kernelValuePath(roots, name as KernelValueName), `${value}\n`);
      }
    },
    composer: (version = "1", body = "cat >/dev/null") => {
      const path = join(directory, `composer-${version}`);
      writeFileSync(
        path,
        `#!/bin/sh\ncase "$1" in --version) echo ${version} ;; --self-test) exit 0 ;; *) ${body} ;; esac\n`,
      );
      chmodSync(path, 0o755);
      return path;
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
  node.setKernel({ core_pattern: "core", core_pipe_limit: "0", suid_dumpable: "0", ...values });
  return node;
}

/** What a test wants installed: the fake composer and the default values. */
export function desiredFor(node: FakeNode, composer = node.composer()): Desired {
  return {
    version: "0.0.0-test",
    mode: "pipe",
    composer: inspectComposer(composer, node.hostDir),
    composerEnv: { CORE_DIR: node.coreDir },
    values: desiredValues(node, "pipe", 16, 2),
  };
}
