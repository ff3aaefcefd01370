import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { readWriterMark, writerMarkPath } from "@cdh/core/spool/writer-mark";
import type { Native } from "../self/native.ts";
import { NO_NATIVE } from "../self/no-native.ts";
import { makeTestNative } from "../testing/test-native.ts";
import { SpoolFile } from "./spool-file.ts";

let scratch: string;
let coreDir: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "cdh-spool-"));
  coreDir = join(scratch, "cores");
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const native: Native = {
  ...makeTestNative(),
  makeFifo: (path) => spawnSync("mkfifo", ["-m", "600", path]).status === 0,
};
const visible = (): string[] => readdirSync(coreDir).filter((name) => name !== "state");

it("appears under its name only when it is whole, for its owner alone, and leaves no mark", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  await file.write(Buffer.from("head"), 0);
  await file.write(Buffer.from("more"), 8);
  await file.write(Buffer.from("core"), 4);
  expect(visible()).toEqual([".N.zip.partial"]);
  expect(await readWriterMark(coreDir, "N")).toBe("alive");
  await file.truncate(10);
  await file.write(Buffer.from("tail"), 10);
  await file.publish();
  expect(visible()).toEqual(["N.zip"]);
  expect(readFileSync(file.path, "utf8")).toBe("headcoremotail");
  expect(statSync(file.path).mode & 0o777).toBe(0o600);
  expect(statSync(coreDir).mode & 0o777).toBe(0o700);
  expect(statSync(join(coreDir, "state", "writers")).mode & 0o777).toBe(0o700);
  expect(existsSync(writerMarkPath(coreDir, "N"))).toBe(false);
});

it("removed, leaves nothing", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  await file.remove();
  expect(visible()).toEqual([]);
  expect(readdirSync(join(coreDir, "state", "writers"))).toEqual([]);
});

it("never writes through a link, nor over a file that is there", async () => {
  mkdirSync(coreDir);
  symlinkSync(join(scratch, "precious"), join(coreDir, ".N.zip.partial"));
  await expect(SpoolFile.create(coreDir, "N", systemClock, native)).rejects.toMatchObject({ code: "CDH_DISK" });
  writeFileSync(join(coreDir, ".M.zip.partial"), "mine");
  await expect(SpoolFile.create(coreDir, "M", systemClock, native)).rejects.toMatchObject({ code: "CDH_DISK" });
  expect(readFileSync(join(coreDir, ".M.zip.partial"), "utf8")).toBe("mine");
  expect(existsSync(join(scratch, "precious"))).toBe(false);
  symlinkSync(coreDir, join(scratch, "link"));
  await expect(SpoolFile.create(join(scratch, "link"), "L", systemClock)).rejects.toThrow(/symbolic link/);
});

it.each(["file", "read-only", "no system calls"])("keeps the core where no mark can be made: %s", async (why) => {
  mkdirSync(coreDir);
  if (why === "file") writeFileSync(join(coreDir, "state"), "a file");
  if (why === "read-only") {
    mkdirSync(join(coreDir, "state", "writers"), { recursive: true });
    chmodSync(join(coreDir, "state", "writers"), 0o500);
  }
  const failing: Native = { ...native, makeFifo: () => false };
  const file = await SpoolFile.create(
    coreDir,
    "N",
    systemClock,
    why === "no system calls" ? NO_NATIVE : why === "file" ? native : failing,
  );
  await file.write(Buffer.from("head"), 0);
  await file.publish();
  expect(visible()).toEqual(["N.zip"]);
});

it("has no mark that nobody reads: a fifo that was there before stays what it is", async () => {
  mkdirSync(join(coreDir, "state", "writers"), { recursive: true });
  writeFileSync(writerMarkPath(coreDir, "N"), "");
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  expect(await readWriterMark(coreDir, "N")).toBe("unknown");
  await file.remove();
});

it("says that the disk is full with its own code", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock);
  // Past what any file may hold, the kernel answers as it does for a full quota: EFBIG.
  await file.write(Buffer.from("head"), 0);
  await expect(file.write(Buffer.from("x"), 2 ** 53 - 10)).rejects.toMatchObject({
    code: expect.stringMatching(/EFBIG|EINVAL/),
  });
  await file.remove();
});

it("what is packed of it takes its place when it is published, and until then both are there", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  await file.write(Buffer.from("as it was taken"), 0);
  const read = Buffer.alloc(5);
  await file.read(read, 6);
  expect(read.toString()).toBe("was t".slice(0, 5));
  const packed = await file.beginPacked();
  await packed.write(Buffer.from("packed, and"), 0);
  await packed.truncate(6);
  expect(visible().toSorted()).toEqual([".N.zip.packing", ".N.zip.partial"]);
  expect(readFileSync(join(coreDir, ".N.zip.partial"), "utf8")).toBe("as it was taken");
  expect(statSync(join(coreDir, ".N.zip.packing")).mode & 0o777).toBe(0o600);
  await file.publish();
  expect(visible()).toEqual(["N.zip"]);
  expect(readFileSync(file.path, "utf8")).toBe("packed");
});

it("what is packed of it can be dropped, and goes with it", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  await file.write(Buffer.from("as it was taken"), 0);
  await file.beginPacked();
  await file.dropPacked();
  expect(visible()).toEqual([".N.zip.partial"]);
  await file.beginPacked();
  await file.dropPacked();
  await file.publish();
  expect(readFileSync(file.path, "utf8")).toBe("as it was taken");
  const other = await SpoolFile.create(coreDir, "M", systemClock, native);
  await other.beginPacked();
  await other.remove();
  expect(visible()).toEqual(["N.zip"]);
});

it("a read behind its end is an error", async () => {
  const file = await SpoolFile.create(coreDir, "N", systemClock, native);
  await file.write(Buffer.from("short"), 0);
  await expect(file.read(Buffer.alloc(6), 0)).rejects.toThrow(/ends at 5/);
  await file.remove();
});
