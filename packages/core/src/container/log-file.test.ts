import { mkdir, open, symlink, truncate } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../service/exec.ts";
import { FakeNode, readRecorded } from "../testing/fake-node.ts";
import { SeededRandom } from "../testing/random.ts";
import { readLogTail } from "./log-file.ts";
import { parseLogLines } from "./log-lines.ts";

const DIRECTORY = "/var/log/pods/shop_web-0_3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11/server";
const T = "2026-11-21T09:01:03.420762972Z";
let node: FakeNode;

beforeEach(async () => {
  node = await FakeNode.create();
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

function cri(...messages: string[]): string {
  return messages.map((message) => `${T} stdout F ${message}\n`).join("");
}

async function tail(lines: number, maxBytes?: number): Promise<unknown> {
  const found = await readLogTail({
    roots: node.roots,
    directory: DIRECTORY,
    lines,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  return "value" in found ? { ...found.value, text: found.value.text.toString() } : found.missing;
}

describe("log lines", () => {
  const parse = (text: string | Uint8Array, whole = true): string[] =>
    parseLogLines(Buffer.from(text), whole).map((line) => line.toString("latin1"));

  it("keep both streams in the order they were written", async () => {
    expect(parse(await readRecorded("containerd-1.6/server-2.log"))).toEqual([
      "out 0",
      "err 0",
      "out 1",
      "err 1",
      "out 2",
      "err 2",
      "out 3",
      "err 3",
      "out 4",
      "err 4",
    ]);
  });

  it("join partial ones of a stream, though the other stream comes between", () => {
    expect(parse(`${T} stdout P ab\n${T} stderr F x\n${T} stdout P c\n${T} stdout F d\n`)).toEqual(["x", "abcd"]);
    expect(parse(`${T} stdout P open`)).toEqual(["open"]);
    expect(parse(`${T} stdout F:more tag\n`)).toEqual(["tag"]);
  });

  it("are read in docker's format too", () => {
    expect(
      parse(
        '{"log":"a\\n","stream":"stdout","time":"x"}\n{"log":"b","stream":"stdout"}\n{"log":"c\\n","stream":"stdout"}\n',
      ),
    ).toEqual(["a", "bc"]);
  });

  it("stay as they are where they are in no known format, bytes and all", () => {
    expect(parse(Buffer.from([0xff, 0xfe, 10, 65, 10, 10]))).toEqual(["\u00ff\u00fe", "A", ""]);
    expect(parse(`${T} stdout X y\n${T} other F y\n{"log":5}\n{\n`)).toEqual([
      `${T} stdout X y`,
      `${T} other F y`,
      '{"log":5}',
      "{",
    ]);
    expect(parse(`${T} stdout F\n${T} stdout F \n`)).toEqual(["", ""]);
  });

  it("begin behind the first newline when the piece may begin anywhere", () => {
    expect(parse(`rest of a line\n${cri("b")}`, false)).toEqual(["b"]);
    expect(parse("no newline at all", false)).toEqual([]);
  });

  it("are joined in time that grows with their number, however many are parts of one line", () => {
    const count = 100_000;
    const part = "2026-11-29T00:00:00.1Z stdout P x\n";
    const [line, ...more] = parseLogLines(Buffer.from(part.repeat(count)));
    expect([line?.length, more]).toEqual([count, []]);
  });

  it("are total", () => {
    let joined = 0;
    for (let seed = 0; seed < 50_000; seed += 1) {
      const random = new SeededRandom(seed);
      const parts = [T, " ", "stdout", "stderr", "P", "F", "\n", "{", '{"log":"x\\n"}', "x", "\0", "é"];
      joined += parseLogLines(
        Buffer.from(Array.from({ length: random.integer(20) }, () => random.pick(parts)).join("")),
        random.integer(2) === 0,
      ).length;
    }
    expect(joined).toBeGreaterThan(50_000);
  });
});

describe("readLogTail", () => {
  it("gives the last lines of the current file", async () => {
    await node.write(`${DIRECTORY}/0.log`, cri("a", "b", "c"));
    expect(await tail(2)).toEqual({ text: "b\nc\n", files: ["0.log"], restartCount: 0 });
    expect(await tail(500)).toEqual({ text: "a\nb\nc\n", files: ["0.log"], restartCount: 0 });
  });

  it("goes on in the rotated file, then in the previous start's, and not further", async () => {
    await node.write(`${DIRECTORY}/1.log`, cri("too old"));
    await node.write(`${DIRECTORY}/2.log`, cri("previous"));
    await node.write(`${DIRECTORY}/3.log.20260101-000000`, cri("older"));
    await node.write(`${DIRECTORY}/3.log.20260102-000000`, cri("old"));
    await node.write(`${DIRECTORY}/3.log.20260101-000000.gz`, "being written");
    await node.write(`${DIRECTORY}/3.log`, cri("new"));
    expect(await tail(500)).toEqual({
      text: "previous\nolder\nold\nnew\n",
      files: ["2.log", "3.log.20260101-000000", "3.log.20260102-000000", "3.log"],
      restartCount: 3,
    });
    expect(await tail(2)).toMatchObject({ text: "old\nnew\n", files: ["3.log.20260102-000000", "3.log"] });
  });

  it("reads rotated files that the kubelet packed, the plain one where both are there", async () => {
    await node.write(`${DIRECTORY}/0.log.20260101-000000.gz`, gzipSync(cri("a", "b")));
    await node.write(`${DIRECTORY}/0.log.20260102-000000.gz`, gzipSync("being written"));
    await node.write(`${DIRECTORY}/0.log.20260102-000000`, cri("c"));
    await node.write(`${DIRECTORY}/0.log.20260103-000000.gz.tmp`, "being written");
    await node.write(`${DIRECTORY}/0.log`, cri("d"));
    expect(await tail(500)).toEqual({
      text: "a\nb\nc\nd\n",
      files: ["0.log.20260101-000000.gz", "0.log.20260102-000000", "0.log"],
      restartCount: 0,
    });
    expect(await tail(3)).toMatchObject({ text: "b\nc\nd\n" });
    expect(await tail(2)).toMatchObject({ files: ["0.log.20260102-000000", "0.log"] });
  });

  it("keeps to the end of a packed file, and leaves out what is damaged or unpacks without an end", async () => {
    const many = cri(...Array.from({ length: 30_000 }, (_, index) => `line ${index}`));
    await node.write(`${DIRECTORY}/0.log.20260104-000000.gz`, gzipSync(many));
    await node.write(`${DIRECTORY}/0.log`, cri("new"));
    const found = (await tail(500, 100_000)) as { text: string };
    expect(found.text).toMatch(/^line 29501\n(line \d+\n)*line 29999\nnew\n$/);
    expect(found.text.split("\n").length).toBe(501);
    expect(((await tail(5000, 100_000)) as { text: string }).text.length).toBeLessThan(100_000);

    const packed = gzipSync(many);
    for (const damaged of [
      packed.subarray(0, 5000),
      Buffer.from("compressed"),
      gzipSync(Buffer.alloc(80_000_000), { level: 1 }),
    ]) {
      await node.write(`${DIRECTORY}/0.log.20260104-000000.gz`, damaged);
      expect(await tail(500)).toEqual({ text: "new\n", files: ["0.log"], restartCount: 0 });
    }
  });

  it("reads a file of 10 GB from its end", async () => {
    await node.write(`${DIRECTORY}/0.log`, "");
    const path = node.path(`${DIRECTORY}/0.log`);
    await truncate(path, 10_000_000_000);
    const file = await open(path, "a");
    await file.write(`\n${cri(...Array.from({ length: 2000 }, (_, index) => `line ${index}`))}`);
    await file.close();
    const started = performance.now();
    expect(await tail(500)).toMatchObject({ text: expect.stringMatching(/^line 1500\n[^]*line 1999\n$/) as string });
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("reads no more than allowed when lines are longer than that", async () => {
    await node.write(`${DIRECTORY}/0.log`, cri("x".repeat(300_000), "y".repeat(50_000), "z"));
    expect(await tail(500, 100_000)).toMatchObject({ text: `${"y".repeat(50_000)}\nz\n` });
    expect(await tail(500)).toMatchObject({ text: expect.stringMatching(/^x{300000}\ny{50000}\nz\n$/) as string });
  });

  it("follows no link out of the folder, except docker's own to its file", async () => {
    const id = "a".repeat(64);
    await node.write("/etc/shadow", "root:secret\n");
    await mkdir(node.path(DIRECTORY), { recursive: true });
    await symlink(node.path("/etc/shadow"), node.path(`${DIRECTORY}/0.log`));
    expect(await tail(10)).toEqual({ text: "", files: [], restartCount: 0 });
    await symlink(`/var/lib/docker/containers/${id}/${id}-json.log`, node.path(`${DIRECTORY}/1.log`));
    await node.write(`/var/lib/docker/containers/${id}/${id}-json.log`, '{"log":"docker\\n","stream":"stdout"}\n');
    expect(await tail(10)).toMatchObject({ text: "docker\n", files: ["1.log"] });
    await symlink(`/var/lib/docker/containers/${id}/../../../../etc/shadow`, node.path(`${DIRECTORY}/2.log`));
    expect(await tail(1)).toMatchObject({ text: "docker\n", restartCount: 2 });
  });

  it("follows no link in place of a folder", async () => {
    await node.write("/etc/cron/0.log", "secret\n");
    await mkdir(node.path(DIRECTORY.replace(/\/server$/, "")), { recursive: true });
    await symlink(node.path("/etc/cron"), node.path(DIRECTORY));
    expect(await tail(10)).toBe("CDH_UNREADABLE");
  });

  it("does not wait for the writer of a FIFO", async () => {
    await mkdir(node.path(DIRECTORY), { recursive: true });
    await run("mkfifo", [node.path(`${DIRECTORY}/0.log`)]);
    expect(await tail(10)).toMatchObject({ text: "" });
  });

  it("says when there is nothing", async () => {
    expect(await tail(10)).toBe("CDH_NOT_FOUND");
    await node.write(`${DIRECTORY}/other.txt`, "x");
    expect(await tail(10)).toBe("CDH_NOT_FOUND");
  });
});
