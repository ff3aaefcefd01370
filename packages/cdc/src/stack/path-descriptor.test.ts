import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openHeld } from "./held-files.ts";
import { O_PATH, reopenFile } from "./path-descriptor.ts";

describe.runIf(process.platform === "linux")("a path descriptor", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "path-descriptor-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function held<T>(name: string, use: (fd: number) => T): T {
    const fd = openSync(join(folder, name), O_PATH | constants.O_NOFOLLOW);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  }

  it("is reopened as the file that it refers to, not as what has its name by then", () => {
    writeFileSync(join(folder, "report"), "the first");
    writeFileSync(join(folder, "other"), "another");
    held("report", (fd) => {
      renameSync(join(folder, "other"), join(folder, "report"));
      const read = reopenFile(fd);
      expect(readFileSync(read, "utf8")).toBe("the first");
      closeSync(read);
    });
  });

  it("of a device is never opened for reading", (context) => {
    const device = join(folder, "device");
    try {
      // No driver has this number: whoever opens the device is told ENXIO.
      execFileSync("mknod", [device, "c", "4095", "1"], { stdio: "pipe" });
    } catch {
      context.skip("device nodes cannot be made here");
    }
    expect(() => openSync(device, "r")).toThrow(/ENXIO|EACCES/);
    held("device", (fd) => {
      expect(() => reopenFile(fd)).toThrow("not a regular file");
      expect(() => openHeld(fd)).toThrow("not a regular file");
    });
  });
});
