import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, type TestContext } from "vitest";
import { mountOf, O_PATH } from "./path-descriptor.ts";
import { readArtefacts } from "./runtime-artefacts.ts";

const PID = 4711;
const OWN = `hs_err_pid${PID}.log`;
const MOUNTED = "mounted.crashreport.json";

/** Holds a lease on a file until its input ends: who opens it without waiting is told EAGAIN. */
const LEASE = `
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], "r+")
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
`;

/** What Node has no call for: a directory with these names in it. */
function directoryOf(...names: string[]): { readNames: (fd: number, buffer: Buffer) => number } {
  const left = [...names];
  return {
    readNames: (_fd, buffer) => {
      const name = left.shift();
      if (name === undefined) return 0;
      const size = 20 + name.length;
      buffer.writeUInt16LE(size, 16);
      buffer.write(`${name}\0`, 19, "latin1");
      return size;
    },
  };
}

describe.runIf(process.platform === "linux")("readArtefacts", () => {
  let folder = "";
  let cwd = -1;
  const mounts: string[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "artefacts-"));
    writeFileSync(join(folder, OWN), "its own words");
    cwd = openSync(folder, O_PATH);
  });
  afterEach(() => {
    closeSync(cwd);
    for (const path of mounts.splice(0)) execFileSync("umount", ["-l", path]);
    rmSync(folder, { recursive: true, force: true });
  });

  function mount(context: TestContext, target: string, ...args: string[]): void {
    try {
      execFileSync("mount", [...args, target], { stdio: "pipe" });
    } catch {
      context.skip("nothing can be mounted here");
    }
    mounts.unshift(target);
  }

  function read(place: { cwd?: number; root?: number; mounts?: number }, ...names: string[]) {
    const result = { read: {} as Record<string, string>, failed: [] as string[] };
    const wish = { ...place, pid: PID, uid: process.getuid?.() ?? 0, fromMs: 0 };
    readArtefacts(wish, directoryOf(...names), {
      piece: ({ name, bytes }) => (result.read[name] = (result.read[name] ?? "") + bytes.toString()),
      failed: (name) => result.failed.push(name),
    });
    return result;
  }

  it("leaves a file alone that is mounted by itself", (context) => {
    const other = join(folder, "other");
    writeFileSync(other, "somebody serves it");
    writeFileSync(join(folder, MOUNTED), "");
    mount(context, join(folder, MOUNTED), "--bind", other);
    expect(read({ cwd }, MOUNTED, OWN)).toEqual({ read: { [OWN]: "its own words" }, failed: [] });
  });

  it("reads a mounted /tmp only when the list of mounts says that its file system is the node's own", (context) => {
    mkdirSync(join(folder, "tmp"));
    mount(context, join(folder, "tmp"), "-t", "tmpfs", "tmpfs");
    writeFileSync(join(folder, "tmp", OWN), "from memory");
    const list = openSync("/proc/self/mountinfo", "r");
    const place = openSync(join(folder, "tmp"), O_PATH);
    const served = join(folder, "mountinfo");
    writeFileSync(served, `${mountOf(place)} 1 0:99 / /tmp rw - fuse.server server rw\n`);
    const other = openSync(served, "r");
    expect(read({ root: cwd, mounts: list }, OWN).read).toEqual({ [OWN]: "from memory" });
    expect(read({ root: cwd, mounts: other }, OWN).read).toEqual({});
    expect(read({ root: cwd }, OWN).read).toEqual({});
    for (const fd of [list, place, other]) closeSync(fd);
  });

  it("loses nothing but the file that cannot be read", async (context) => {
    const leased = join(folder, "leased.crashreport.json");
    writeFileSync(leased, "nobody opens it");
    const holder = spawn("python3", ["-c", LEASE, leased], { stdio: ["pipe", "pipe", "ignore"] });
    holder.on("error", () => {});
    try {
      const [said] = (await Promise.race([once(holder.stdout, "data"), once(holder, "close")])) as unknown[];
      if (!(said instanceof Buffer)) context.skip("no file can be leased here");
      const names = ["leased.crashreport.json", OWN];
      expect(read({ cwd }, ...names)).toEqual({
        read: { [OWN]: "its own words" },
        failed: ["leased.crashreport.json"],
      });
    } finally {
      holder.kill("SIGKILL");
    }
  });

  it("says nothing of a file that has gone, and reads no directory", () => {
    mkdirSync(join(folder, "directory.crashreport.json"));
    const names = ["gone.crashreport.json", "directory.crashreport.json", OWN];
    expect(read({ cwd }, ...names)).toEqual({ read: { [OWN]: "its own words" }, failed: [] });
  });
});
