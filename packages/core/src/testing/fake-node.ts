import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Crash } from "../kernel/crash.ts";
import { makeRoots, type Roots } from "../roots.ts";

/** A temporary directory that stands for a node's root, with a /proc of plain files. */
export class FakeNode implements AsyncDisposable {
  readonly root: string;
  readonly roots: Roots;

  private constructor(root: string) {
    this.root = root;
    this.roots = makeRoots({ hostRoot: root, procRoot: join(root, "proc") });
  }

  static async create(): Promise<FakeNode> {
    return new FakeNode(await mkdtemp(join(tmpdir(), "cdh-node-")));
  }

  /** Path on this machine of a path on the node. */
  path(nodePath: string): string {
    return join(this.root, nodePath);
  }

  async write(nodePath: string, content: string | Uint8Array): Promise<void> {
    await mkdir(dirname(this.path(nodePath)), { recursive: true });
    await writeFile(this.path(nodePath), content);
  }

  /** Put a shell script where the node looks for programs. */
  async program(nodePath: string, body: string): Promise<void> {
    await this.write(nodePath, `#!/bin/sh\n${body}`);
    await chmod(this.path(nodePath), 0o755);
  }

  /** Write `/proc/<pid>` as the kernel shows a process; `status` adds lines or replaces them. */
  async process(pid: number, options: FakeProcess = {}): Promise<void> {
    const { uid = 1000, gid = 1000, startTicks = 5000, cgroup = "0::/\n", comm = "server" } = options;
    const tail = `S 1 ${pid} ${pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 ${startTicks} 1000 100`;
    await this.write("/proc/stat", "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n");
    await this.write(`/proc/${pid}/stat`, `${pid} (${comm}) ${tail}\n`);
    const dumping = options.coreDumping === undefined ? "" : `CoreDumping:\t${options.coreDumping ? 1 : 0}\n`;
    await this.write(
      `/proc/${pid}/status`,
      `Name:\t${comm}\nState:\tD (disk sleep)\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nGid:\t${gid}\t${gid}\t${gid}\t${gid}\nVmSize:\t 100 kB\n${dumping}`,
    );
    await this.write(`/proc/${pid}/cgroup`, cgroup);
    await this.write(`/proc/${pid}/cmdline`, "/bin/server\0--port\x008080\0");
    for (const name of ["limits", "mountinfo", "auxv", "maps"])
      await this.write(`/proc/${pid}/${name}`, `${name} of ${pid}\n`);
    await this.write(`/proc/${pid}/environ`, "SECRET=1\0");
    await mkdir(this.path(`/proc/${pid}/fd`), { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Say how a process of a {@link FakeNode} looks. */
export interface FakeProcess {
  uid?: number;
  gid?: number;
  /** Hundredths of a second since the machine's start, which is 1700000000. */
  startTicks?: number;
  cgroup?: string;
  comm?: string;
  coreDumping?: boolean;
}

/** Make a crash with only what a test needs. */
export function makeCrash(fields: Partial<Crash> = {}): Crash {
  return { raw: {}, rest: [], problems: [], ...fields };
}

/** Read a recorded answer of crictl, or a runtime's file. */
export async function readRecorded(name: string): Promise<string> {
  return await readFile(new URL(`../../../../test/fixtures/crictl/${name}`, import.meta.url), "utf8");
}
