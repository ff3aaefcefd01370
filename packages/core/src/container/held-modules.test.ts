import { readFile, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeNode, makeCrash } from "../testing/fake-node.ts";
import { readHeldModules, type HeldModules } from "./held-modules.ts";

const CRASH = makeCrash({ pid: 4711, uid: 1000, gid: 1000 });

describe("readHeldModules", () => {
  let node: FakeNode;
  beforeEach(async () => {
    node = await FakeNode.create();
    await node.process(4711);
  });
  afterEach(() => node[Symbol.asyncDispose]());

  const line = (start: number, rights: string, offset: number, path: string): string =>
    `${start.toString(16)}-${(start + 0x1000).toString(16)} ${rights} ${offset.toString(16).padStart(8, "0")} 08:01 7 ${path}\n`;
  const read = async (maps: string): Promise<HeldModules | undefined> => {
    await node.write("/proc/4711/maps", maps);
    return readHeldModules({ roots: node.roots, crash: CRASH });
  };

  it("finds what runs behind any number of mappings of data", async () => {
    const data = Array.from({ length: 70_000 }, (_, index) => line(0x10000 + index * 0x2000, "rw-p", 0x1000, "/data"));
    const library = line(0x7f0000000000, "r--p", 0, "/lib/x.so") + line(0x7f0000001000, "r-xp", 0x1000, "/lib/x.so");
    expect(await read(line(0x1000, "r-xp", 0, "/app") + data.join("") + library)).toMatchObject({
      whole: true,
      modules: [
        { path: "/app", start: 0x1000n, end: 0x2000n },
        { path: "/lib/x.so", start: 0x7f0000000000n, end: 0x7f0000002000n },
      ],
    });
  });

  it("takes build-ids from the memory, of this program's own as an example", async () => {
    const maps = await readFile("/proc/self/maps", "utf8");
    const first = maps.split("\n").find((text) => / r--p 00000000 .*\/libc[.-]/.test(text)) ?? "";
    const start = Number.parseInt(first, 16);
    // A file of holes has the image where the process has it.
    await writeFile(node.path("/proc/4711/mem"), "");
    const image = await readFile(first.slice(first.indexOf("/")));
    const { open } = await import("node:fs/promises");
    const memory = await open(node.path("/proc/4711/mem"), "r+");
    await memory.write(image.subarray(0, 65536), 0, undefined, 0x200000);
    await memory.close();
    expect(start).toBeGreaterThan(0);
    const found = await read(line(0x200000, "r--p", 0, "/lib/libc.so.6") + line(0x400000, "r--p", 0, "/data"));
    expect(found?.modules).toEqual([
      {
        path: "/lib/libc.so.6",
        start: 0x200000n,
        end: 0x201000n,
        buildId: expect.stringMatching(/^[0-9a-f]{40}$/) as string,
      },
    ]);
  });

  it("prefers what runs to data when there is too much of both, and says that it is not all", async () => {
    await node.write("/proc/4711/mem", "");
    const data = Array.from({ length: 5000 }, (_, index) =>
      line(0x10000 + index * 0x2000, "r--p", 0, `/data/${index}`),
    );
    const found = await read(data.join("") + line(0x7f0000000000, "r-xp", 0, "/lib/x.so"));
    expect(found).toMatchObject({
      whole: false,
      modules: [{ path: "/lib/x.so", start: 0x7f0000000000n, end: 0x7f0000001000n }],
    });
  });

  it("believes nothing of a process that may be another one", async () => {
    await node.process(4711, { coreDumping: false });
    expect(await read(line(0x1000, "r-xp", 0, "/app"))).toBeUndefined();
    expect(await readHeldModules({ roots: node.roots, crash: makeCrash({ pid: 99 }) })).toBeUndefined();
    expect(await readHeldModules({ roots: node.roots, crash: makeCrash() })).toBeUndefined();
  });

  it("ends with its signal", async () => {
    await node.write("/proc/4711/maps", line(0x1000, "r-xp", 0, "/app"));
    expect(await readHeldModules({ roots: node.roots, crash: CRASH, signal: AbortSignal.abort() })).toBeUndefined();
  });
});
