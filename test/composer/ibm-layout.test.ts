import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig, smallCore, type Rig } from "./drive.ts";

const GROUP = 23_456;
const CORE = smallCore(Buffer.alloc(4096, 7));
const WORDS = kernelWords({ h: "node-1.example.com", e: "python3.11" });

/** Print the name of each file that is closed after writing, below these directories. */
const INOTIFY = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
for path in sys.argv[1:]: libc.inotify_add_watch(fd, path.encode(), 8)
print("ready", flush=True)
while True:
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        _, _, _, length = struct.unpack_from("iIII", data, at)
        print(data[at + 16:at + 16 + length].rstrip(b"\\0").decode(), flush=True)
        at += 16 + length
`;

describeUnless(notBuilt("cdc"), "what users of IBM's composer rely on", () => {
  let rig: Rig;
  beforeEach(() => {
    rig = makeRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  it.each(["zstd", "deflate", "none"])("dump_file names an entry of the bundle, with %s", async (compression) => {
    rig.env({ COMPRESSION: compression });
    expect((await rig.run(CORE)).exitCode).toBe(0);
    const bundle = await rig.bundle();
    const { dump_file: file } = JSON.parse(String(await bundle.read("-dump-info.json"))) as { dump_file: string };
    expect(bundle.entries.map(({ name }) => name)).toContain(file);
  });

  it("host and program keep their dots in the name, from which scripts take them", async () => {
    expect((await rig.run(CORE, { args: WORDS })).exitCode).toBe(0);
    expect(rig.spool().filter((name) => name.endsWith(".zip"))).toEqual([
      expect.stringMatching(/^[0-9a-f-]{36}-dump-1700000000-node-1\.example\.com-python3\.11-4194303-11\.zip$/),
    ]);
  });

  it("a group can read bundles and event files, when one is named; nobody else can, and a restricted crash stays root's", async () => {
    const events = join(rig.hostDir, "events");
    rig.env({ CORE_EVENTS: "true", EVENT_DIRECTORY: events });
    const accessOf = (path: string): [string, number] => {
      const { mode, gid } = statSync(path);
      return [(mode & 0o7777).toString(8), gid];
    };
    const newBundle = async (args: string[]): Promise<string> => {
      const before = rig.spool();
      expect((await rig.run(CORE, { args })).exitCode).toBe(0);
      const added = rig.spool().filter((name) => name.endsWith(".zip") && !before.includes(name));
      expect(added).toHaveLength(1);
      return join(rig.coreDir, added[0] ?? "");
    };
    const eventOf = (bundle: string): string =>
      join(events, `${bundle.slice(rig.coreDir.length + 1).slice(0, 36)}-event.json`);
    const alone = await newBundle(WORDS);
    expect([accessOf(alone), accessOf(eventOf(alone))]).toEqual([
      ["600", 0],
      ["600", 0],
    ]);
    rig.env({ CORE_EVENTS: "true", EVENT_DIRECTORY: events, SPOOL_GROUP: String(GROUP), RATE_LIMIT: "0" });
    const shared = await newBundle(WORDS);
    expect([accessOf(shared), accessOf(eventOf(shared))]).toEqual([
      ["640", GROUP],
      ["640", GROUP],
    ]);
    expect([accessOf(rig.coreDir), accessOf(events)]).toEqual([
      ["750", GROUP],
      ["750", GROUP],
    ]);
    expect(accessOf(join(rig.coreDir, "state"))).toEqual(["700", 0]);
    const restricted = await newBundle(kernelWords({ m: "2" }));
    expect([accessOf(restricted), accessOf(eventOf(restricted))]).toEqual([
      ["600", 0],
      ["600", 0],
    ]);
  });

  it("a watcher of CLOSE_WRITE sees the bundle and the event file under their names", async (context) => {
    const missing = missingTools("python3");
    if (missing !== undefined) skipAloud(context, missing);
    const events = join(rig.hostDir, "events");
    rig.env({ CORE_EVENTS: "true", EVENT_DIRECTORY: events });
    mkdirSync(events);
    mkdirSync(rig.coreDir, { recursive: true });
    const watcher = spawn("python3", ["-c", INOTIFY, rig.coreDir, events], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      let seen = "";
      watcher.stdout.setEncoding("utf8").on("data", (text: string) => (seen += text));
      await once(watcher.stdout, "data");
      expect((await rig.run(CORE)).exitCode).toBe(0);
      const bundle = rig.spool().find((name) => name.endsWith(".zip")) ?? "none";
      await expect
        .poll(() => seen.split("\n"))
        .toEqual(expect.arrayContaining([bundle, `${bundle.slice(0, 36)}-event.json`]));
    } finally {
      watcher.kill("SIGKILL");
    }
  });
});
