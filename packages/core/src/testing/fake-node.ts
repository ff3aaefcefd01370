import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { makeRoots, type Roots } from "../base/roots.ts";
import type { Crash } from "../kernel/crash.ts";

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
    const { startTicks = 5000, cgroup = "0::/\n", comm = "server" } = options;
    const tail = `S 1 ${pid} ${pid} 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 ${startTicks} 1000 100`;
    await this.write("/proc/stat", "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n");
    await this.write(`/proc/${pid}/stat`, `${pid} (${comm}) ${tail}\n`);
    await this.write(`/proc/${pid}/status`, statusText(options));
    await this.write(`/proc/${pid}/cgroup`, cgroup);
    await this.write(`/proc/${pid}/cmdline`, "/bin/server\0--port\x008080\0");
    for (const name of ["limits", "mountinfo", "auxv", "maps"])
      await this.write(`/proc/${pid}/${name}`, `${name} of ${pid}\n`);
    await this.write(`/proc/${pid}/environ`, "SECRET=1\0");
    await mkdir(this.path(`/proc/${pid}/fd`), { recursive: true });
  }

  /** Add the status of one of its other threads. */
  async thread(pid: number, tid: number, options: FakeProcess): Promise<void> {
    await this.write(`/proc/${pid}/task/${tid}/status`, statusText(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** `status` as the kernel writes it: the name escaped, each field with all it has. */
function statusText(options: FakeProcess): string {
  const { uid = 1000, gid = 1000, comm = "server", coreDumping = true, fdSlots = 64, groups = 0 } = options;
  const name = comm.replaceAll("\\", String.raw`\\`).replaceAll("\n", String.raw`\n`);
  const ids = (id: number): string => [id, id, id, id].join("\t");
  const list = Array.from({ length: groups }, (_, at) => `${4_000_000_000 + at} `).join("");
  return [
    `Name:\t${name}`,
    "State:\tD (disk sleep)",
    `Uid:\t${ids(uid)}`,
    `Gid:\t${ids(gid)}`,
    `FDSize:\t${fdSlots}`,
    `Groups:\t${list}`,
    "VmSize:\t 100 kB",
    ...(coreDumping === "absent" ? [] : [`CoreDumping:\t${coreDumping ? 1 : 0}`]),
    "",
  ].join("\n");
}

/** Say how a process of a {@link FakeNode} looks. */
export interface FakeProcess {
  uid?: number;
  gid?: number;
  /** Hundredths of a second since the machine's start, which is 1700000000. */
  startTicks?: number;
  cgroup?: string;
  comm?: string;
  /** What the kernel says of it. Default true. */
  coreDumping?: boolean | "absent";
  /** Slots of its table of descriptors. */
  fdSlots?: number;
  /** How many supplementary groups it has. */
  groups?: number;
}

/** Make a crash with only what a test needs. */
export function makeCrash(fields: Partial<Crash> = {}): Crash {
  return { raw: {}, rest: [], problems: [], ...fields };
}

/** Read a recorded answer of crictl, or a runtime's file. */
export async function readRecorded(name: string): Promise<string> {
  return await readFile(new URL(`../../../../test/fixtures/crictl/${name}`, import.meta.url), "utf8");
}
