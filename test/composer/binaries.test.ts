import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";

const MIB = 1024 * 1024;
const scratch = scratchDirectory("binaries");

interface Answer {
  files: number;
  leftOut: string[];
}

const mount =
  process.getuid?.() === 0 ? missingTools("mount", "umount", "zstd") : "mounting a tiny file system needs root";

describeUnless(notBuilt("cdc") ?? mount, "files of programs that wait give way to a bundle", () => {
  const tiny = join(scratch, "tiny");
  beforeAll(() => {
    mkdirSync(tiny);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,nr_inodes=80,mode=0700", "tmpfs", tiny]);
  });
  afterAll(() => void spawnSync("umount", [tiny]));

  const binaries = join(tiny, "binaries");
  /** Fill the spool with files of programs, the last as large as it can be. */
  const fill = ({ count, bytes }: { count: number; bytes: number }): void => {
    execFileSync("find", [tiny, "-mindepth", "1", "-delete"]);
    mkdirSync(binaries, { mode: 0o700 });
    const names = Array.from({ length: count }, (_, index) => `${index.toString(16).padStart(40, "0")}.executable.zst`);
    for (const [index, name] of names.entries()) {
      try {
        writeFileSync(join(binaries, name), index === count - 1 ? noise(bytes) : "");
      } catch (error) {
        if (!/ENOSPC/.test(String(error))) throw error;
      }
    }
  };
  const there = (): string[] => (existsSync(binaries) ? readdirSync(binaries) : []);

  it.each([
    ["too few inodes are free", { count: 60, bytes: 0 }, "50", MIB],
    ["no inode is free", { count: 100, bytes: 0 }, "0", MIB],
    ["no byte is free", { count: 1, bytes: 9 * MIB }, "0", MIB],
    ["few bytes are free", { count: 1, bytes: 4 * MIB }, "0", 5 * MIB],
  ])("%s", async (_what, filled, keepFreeInodes, coreBytes) => {
    fill(filled);
    await using rig = makeRig({ coreDir: tiny });
    rig.env({ KEEP_FREE: "0", KEEP_FREE_INODES: keepFreeInodes });
    const result = await rig.run(smallCore(noise(coreBytes)), { timeoutMs: 60_000 });
    expect(result.exitCode, rig.logText()).toBe(0);
    expect((await rig.bundle()).manifest.core.complete).toBe(true);
    expect(there()).toEqual([]);
  });
});

describeUnless(notBuilt("cdc") ?? missingTools("gcc"), "packing files of programs", () => {
  let image: Buffer;
  const first = "00".repeat(20);
  beforeAll(() => {
    const library = join(scratch, "library.so");
    writeFileSync(join(scratch, "library.c"), "int answer(void) { return 42; }\n");
    execFileSync("gcc", ["-shared", "-fPIC", `-Wl,--build-id=0x${first}`, "-o", library, join(scratch, "library.c")]);
    image = readFileSync(library);
  });

  /** A library whose build-id is a number. */
  const make = (folder: string, index: number): { path: string; buildId: string } => {
    const id = Buffer.alloc(20);
    id.writeUInt32BE(index + 1);
    const copy = Buffer.from(image);
    const at = copy.indexOf(Buffer.concat([Buffer.from("GNU\0"), Buffer.alloc(20)])) + 4;
    id.copy(copy, at);
    const path = join(folder, `lib${index}.so`);
    writeFileSync(path, copy);
    return { path, buildId: id.toString("hex") };
  };

  /** Have the built program pack files, as a composer asks it to. */
  const packAll = async (
    coreDir: string,
    paths: { path: string; buildId: string }[],
    namespace?: string,
  ): Promise<Answer> => {
    const descriptors = paths.map(({ path }) => openSync(path, "r"));
    const child = spawn(builtPath("cdc"), ["--pack-binaries"], {
      stdio: ["pipe", "pipe", "ignore", "ignore", ...descriptors],
    });
    for (const fd of descriptors) closeSync(fd);
    const request = {
      composer: process.pid,
      coreDir,
      namespace,
      maxBytes: 512 * MIB,
      keepFreeBytes: 0,
      keepFreeInodes: 0,
      files: paths.map(({ buildId }, index) => ({ fd: 4 + index, buildId, name: `lib${index}.so` })),
    };
    child.stdin?.end(JSON.stringify(request));
    const closed = once(child, "close");
    const said = await text(child.stdout as NodeJS.ReadableStream);
    expect(await closed).toEqual([0, null]);
    return JSON.parse(said) as Answer;
  };
  const spool = (): string => {
    const coreDir = mkdtempSync(join(scratch, "spool-"));
    mkdirSync(join(coreDir, "binaries"), { mode: 0o700 });
    return coreDir;
  };
  const packedIn = (coreDir: string): string[] =>
    readdirSync(join(coreDir, "binaries")).filter((name) => name.endsWith(".zst"));

  it("a flood of small files is bounded, of one crash and on the node", async () => {
    const coreDir = spool();
    const files = Array.from({ length: 70 }, (_, index) => make(scratch, index));
    const answer = await packAll(coreDir, files);
    expect(answer.files).toBe(64);
    expect(answer.leftOut).toEqual(["more than 64 files of a crash"]);
    expect(packedIn(coreDir)).toHaveLength(64);
    // The next crash brings the others.
    expect(await packAll(coreDir, files)).toMatchObject({ files: 6, leftOut: [] });
    for (let index = 0; index < 2 * 2_000 - 2 * 70 - 4; index += 1)
      writeFileSync(join(coreDir, "binaries", `waiting-${index}`), "");
    const more = Array.from({ length: 5 }, (_, index) => make(scratch, 100 + index));
    const last = await packAll(coreDir, more);
    expect(last.files).toBe(2);
    expect(last.leftOut[0]).toContain("files of earlier crashes wait to be sent");
  });

  it("one namespace keeps none of another's files out of a full pool, and keeps its own part", async () => {
    const coreDir = spool();
    const { storedBytes } = await waitAs(coreDir, "flood", 1_990);
    expect(storedBytes).toBeGreaterThan(0);
    await waitAs(coreDir, "quiet", 10, 3_000);
    const mine = Array.from({ length: 5 }, (_, index) => make(scratch, 5_000 + index));
    expect(await packAll(coreDir, mine, "mine")).toMatchObject({ files: 5, leftOut: [] });
    const owners = ownersIn(coreDir);
    expect(owners).toEqual({ flood: 1_985, quiet: 10, mine: 5 });
    // The flood itself gets no more room by that.
    const more = Array.from({ length: 2 }, (_, index) => make(scratch, 6_000 + index));
    const refused = await packAll(coreDir, more, "flood");
    expect(refused).toMatchObject({ files: 0 });
    expect(refused.leftOut[0]).toContain("files of earlier crashes wait to be sent");
    expect(ownersIn(coreDir)).toEqual(owners);
  }, 60_000);

  /** Have files of a namespace wait, as many as there are numbers. */
  const waitAs = async (
    coreDir: string,
    namespace: string,
    count: number,
    from = 10_000,
  ): Promise<{ storedBytes: number }> => {
    const { path, buildId } = make(scratch, from);
    await packAll(coreDir, [{ path, buildId }], namespace);
    const folder = join(coreDir, "binaries");
    const [packed, facts] = ["zst", "json"].map((end) => readFileSync(join(folder, `${buildId}.executable.${end}`)));
    for (let index = 1; index < count; index += 1) {
      const id = `${namespace === "flood" ? "ff" : "ee"}${index.toString(16).padStart(38, "0")}`;
      writeFileSync(join(folder, `${id}.executable.zst`), packed ?? "");
      writeFileSync(join(folder, `${id}.executable.json`), facts ?? "");
    }
    return JSON.parse(String(facts)) as { storedBytes: number };
  };
  const ownersIn = (coreDir: string): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const name of packedIn(coreDir)) {
      const facts = readFileSync(join(coreDir, "binaries", name.replace(/zst$/, "json")), "utf8");
      const { namespace } = JSON.parse(facts) as { namespace: string };
      counts[namespace] = (counts[namespace] ?? 0) + 1;
    }
    return counts;
  };

  it("what a killed packer left is removed, even where nothing more is packed", async () => {
    const coreDir = spool();
    const draft = join(coreDir, "binaries/.draft");
    writeFileSync(draft, noise(MIB));
    const path = join(scratch, "no-elf");
    writeFileSync(path, "text");
    expect(await packAll(coreDir, [{ path, buildId: first }])).toMatchObject({ files: 0 });
    expect(existsSync(draft)).toBe(false);
  });

  it("nothing is packed for a composer that has gone", async () => {
    const coreDir = spool();
    const child = spawn(builtPath("cdc"), ["--pack-binaries"], { stdio: ["pipe", "ignore", "ignore"] });
    child.stdin.end(
      JSON.stringify({ composer: 1, coreDir, maxBytes: 1, keepFreeBytes: 0, keepFreeInodes: 0, files: [] }),
    );
    expect(await once(child, "close")).toEqual([null, "SIGKILL"]);
  });
});
