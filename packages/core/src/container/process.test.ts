import { symlink, unlink, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeNode, makeCrash } from "../testing/fake-node.ts";
import { snapshotProcess } from "./process.ts";

let node: FakeNode;

beforeEach(async () => {
  node = await FakeNode.create();
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

const CRASH = makeCrash({ pid: 4711, uid: 1000, gid: 1000, timestamp: 1700000060 });

describe("snapshotProcess", () => {
  it("reads the files of the crashed process", async () => {
    await node.process(4711, { coreDumping: true, cgroup: "0::/x\n" });
    await symlink("/usr/bin/server", node.path("/proc/4711/exe"));
    await symlink("/dev/null", node.path("/proc/4711/fd/10"));
    await symlink("/tmp/a\nb", node.path("/proc/4711/fd/9"));
    const snapshot = await snapshotProcess({ roots: node.roots, crash: CRASH });
    expect(snapshot).toMatchObject({
      state: "verified",
      cgroup: "0::/x\n",
      cmdline: ["/bin/server", "--port", "8080"],
      exe: "/usr/bin/server",
      startedAtMs: 1700000050000,
      uid: 1000,
      gid: 1000,
      problems: [],
    });
    const files = Object.fromEntries(snapshot.files.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]));
    expect(Object.keys(files)).toEqual(["cmdline", "status", "limits", "cgroup", "mountinfo", "auxv", "maps", "fds"]);
    expect(files["fds"]).toBe("9 -> /tmp/a\\012b\n10 -> /dev/null\n");
    expect(files["maps"]).toBe("maps of 4711\n");
  });

  it("reads the environment only by choice", async () => {
    await node.process(4711);
    const names = (await snapshotProcess({ roots: node.roots, crash: CRASH, includeEnviron: true })).files.map(
      ({ name }) => name,
    );
    expect(names).toContain("environ");
  });

  it.each([
    ["another uid", { uid: 1001 }, /uid is 1001/],
    ["another gid", { gid: 0 }, /gid is 0/],
    ["a start after the crash", { startTicks: 9000 }, /started after/],
    ["no dump under way", { coreDumping: false }, /not dumping/],
    ["no memory left to say that it is dumping", { coreDumping: "absent" as const }, /nothing says/],
  ])("believes nothing of a process with %s", async (_what, fields, detail) => {
    await node.process(4711, fields);
    const snapshot = await snapshotProcess({ roots: node.roots, crash: CRASH });
    expect(snapshot).toEqual({
      state: "doubtful",
      files: [],
      problems: [{ step: "process", code: "CDH_PROCESS_DOUBTFUL", detail: expect.stringMatching(detail) as string }],
    });
  });

  it("believes one that does not say whether it is dumping where the kernel never does", async () => {
    await node.process(4711, { coreDumping: "absent" });
    const crash = { roots: node.roots, crash: CRASH };
    expect((await snapshotProcess({ ...crash, kernelRelease: "3.10.0-1160.el7.x86_64" })).state).toBe("verified");
    expect((await snapshotProcess({ ...crash, kernelRelease: "4.14.336" })).state).toBe("verified");
    expect((await snapshotProcess({ ...crash, kernelRelease: "4.15.0-20-generic" })).state).toBe("doubtful");
    expect((await snapshotProcess({ ...crash, kernelRelease: "6.18.44" })).state).toBe("doubtful");
  });

  it("compares the ids of the thread that crashed, which may have its own", async () => {
    await node.process(4711, { uid: 0, gid: 0 });
    await node.thread(4711, 4712, { uid: 1000, gid: 1000 });
    const crash = { ...CRASH, tid: 4712 };
    expect(await snapshotProcess({ roots: node.roots, crash })).toMatchObject({
      state: "verified",
      uid: 1000,
      gid: 1000,
    });
    // Of another thread it is still an attack.
    await node.thread(4711, 4713, { uid: 7, gid: 1000 });
    const other = await snapshotProcess({ roots: node.roots, crash: { ...CRASH, tid: 4713 } });
    expect(other.problems).toMatchObject([
      { code: "CDH_PROCESS_DOUBTFUL", detail: "its uid is 7, the kernel said 1000" },
    ]);
    // A thread that is not of this process decides nothing.
    expect((await snapshotProcess({ roots: node.roots, crash: { ...CRASH, tid: 99 } })).state).toBe("doubtful");
  });

  it("takes the word of a living thread where the first one has ended", async () => {
    await node.process(4711, { coreDumping: "absent" });
    await node.thread(4711, 4712, {});
    expect((await snapshotProcess({ roots: node.roots, crash: { ...CRASH, tid: 4712 } })).state).toBe("verified");
  });

  it("reads what stands behind 65,536 groups", async () => {
    await node.process(4711, { coreDumping: false, groups: 65_536 });
    const { problems } = await snapshotProcess({ roots: node.roots, crash: CRASH });
    expect(problems).toMatchObject([{ detail: "the process is not dumping core" }]);
  });

  it("tries the first descriptors of a huge table, whose folder would take a hundred megabytes", async () => {
    await node.process(4711, { fdSlots: 1_048_576 });
    await symlink("/dev/null", node.path("/proc/4711/fd/3"));
    await symlink("/dev/zero", node.path("/proc/4711/fd/900000"));
    const { files } = await snapshotProcess({ roots: node.roots, crash: CRASH });
    const fds = Buffer.from(files.find(({ name }) => name === "fds")?.bytes ?? "").toString();
    expect(fds).toBe("3 -> /dev/null\n… what is open from 4096 on, in a table of 1048576\n");
  });

  it("does not believe this very process, which is not dumping", async () => {
    const snapshot = await snapshotProcess({
      roots: { host: "/", proc: "/proc", sys: "/sys" },
      crash: makeCrash({ pid: process.pid }),
    });
    expect(snapshot.state).toBe("doubtful");
  });

  it("is gone when there is no such process, or no pid", async () => {
    expect(await snapshotProcess({ roots: node.roots, crash: CRASH })).toMatchObject({
      state: "gone",
      problems: [{ code: "CDH_NOT_FOUND" }],
    });
    expect(await snapshotProcess({ roots: node.roots, crash: makeCrash() })).toMatchObject({
      state: "gone",
      problems: [{ code: "CDH_NO_PID" }],
    });
  });

  it("keeps the identity when files are missing, and says which", async () => {
    await node.process(4711, { cgroup: "0::/y\n" });
    await unlink(node.path("/proc/4711/auxv"));
    const snapshot = await snapshotProcess({ roots: node.roots, crash: CRASH });
    expect(snapshot).toMatchObject({ state: "verified", cgroup: "0::/y\n" });
    expect(snapshot.problems).toContainEqual(
      expect.objectContaining({ code: "CDH_NOT_FOUND", detail: expect.stringContaining("auxv") as string }),
    );
  });

  it("reads no more of a file than allowed", async () => {
    await node.process(4711);
    await writeFile(node.path("/proc/4711/maps"), Buffer.alloc(300_000, "m"));
    const snapshot = await snapshotProcess({ roots: node.roots, crash: CRASH, maxFileBytes: 100_000 });
    expect(snapshot.files.find(({ name }) => name === "maps")?.bytes).toHaveLength(100_000);
    expect(snapshot.problems).toContainEqual(expect.objectContaining({ code: "CDH_CUT" }));
  });

  it("gives up at once when aborted", async () => {
    await node.process(4711);
    const snapshot = await snapshotProcess({ roots: node.roots, crash: CRASH, signal: AbortSignal.abort() });
    expect(snapshot).toMatchObject({ state: "gone", files: [] });
  });

  it("reads the status of a name that would forge one", async () => {
    await node.process(4711, { comm: "x) R 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 999999999 (" });
    expect((await snapshotProcess({ roots: node.roots, crash: CRASH })).state).toBe("verified");
  });
});
