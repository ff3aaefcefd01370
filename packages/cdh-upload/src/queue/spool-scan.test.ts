import { mkdtemp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { createLogger, type Logger } from "@cdh/core/log";
import { UploadLog } from "../tell/upload-log.ts";
import { scanSpool } from "./spool-scan.ts";

let coreDir: string;

beforeEach(async () => {
  coreDir = await mkdtemp(join(tmpdir(), "cdh-scan-"));
});
afterEach(async () => {
  await rm(coreDir, { recursive: true, force: true });
});

describe("a look at the spool", () => {
  it("finds nothing strange in bundles that are taken away meanwhile", async () => {
    const names = Array.from({ length: 500 }, (_, index) => `b${index}.zip`);
    for (const name of names) await writeFile(join(coreDir, name), "x");
    const look = scanSpool(coreDir);
    // From both ends, so that they meet the look.
    const removal = Promise.all(names.toReversed().map((name) => rm(join(coreDir, name))));
    const { files, ignored } = await look;
    await removal;
    expect(files.length).toBeLessThan(names.length);
    expect(ignored).toEqual([]);
  });

  it("leaves directories, links and other names alone", async () => {
    await mkdir(join(coreDir, "d.zip"));
    await symlink("/etc/hostname", join(coreDir, "l.zip"));
    await writeFile(join(coreDir, "notes.txt"), "x");
    await writeFile(join(coreDir, "a.zip"), "x");
    const { files, ignored } = await scanSpool(coreDir);
    expect(files.map(({ name }) => name)).toEqual(["a"]);
    expect(ignored.toSorted()).toEqual(["d.zip", "l.zip", "notes.txt"]);
  });
});

describe("the log of what is left alone", () => {
  function listen(): { lines: Record<string, unknown>[]; log: Logger } {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
    return { lines, log: createLogger({ program: "test", level: "info", format: "json", clock: systemClock, write }) };
  }

  it("tells each name once, and again when it was gone in between", () => {
    const { lines, log } = listen();
    const words = new UploadLog(log);
    words.leftAlone({ ignored: ["a", "state"], foreign: [] });
    words.leftAlone({ ignored: ["a", "b"], foreign: [] });
    words.leftAlone({ ignored: ["b"], foreign: [] });
    words.leftAlone({ ignored: ["a", "b"], foreign: [] });
    expect(lines.map((line) => line["name"])).toEqual(["a", "b", "a"]);
  });

  it("stays short whatever lies there", () => {
    const { lines, log } = listen();
    const words = new UploadLog(log);
    const many = Array.from({ length: 10_000 }, (_, index) => `n${index}`);
    for (let look = 0; look < 5; look += 1) words.leftAlone({ ignored: many, foreign: [] });
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toMatchObject({ level: "warn", files: 9900 });
  });
});
