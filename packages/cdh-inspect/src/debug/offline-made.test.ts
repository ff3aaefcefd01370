import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { OfflineMade } from "./offline-made.ts";

const place = mkdtempSync(join(tmpdir(), "offline-made-"));
let count = 0;
let folder = "";

beforeEach(() => {
  count += 1;
  folder = join(place, String(count));
});

afterAll(() => rmSync(place, { recursive: true }));

/** Write as the command does. */
async function write(isWhole: boolean, force = false): Promise<void> {
  const made = await OfflineMade.begin(folder, force);
  for (const name of ["sysroot/usr/bin/server", "debug/.build-id/ab/cd.debug", "gdbinit", ".vscode/launch.json"]) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    await made.note(name);
    writeFileSync(join(folder, name), "ours");
  }
  writeFileSync(join(folder, "core"), "core");
  if (isWhole) await made.finish();
}

describe("a directory of this command's", () => {
  it("is replaced when told to, and gone on with when it is not finished", async () => {
    await write(true);
    await expect(write(true)).rejects.toMatchObject({ code: "CDH_DISK", message: /has something in it/ });
    await write(false, true);
    await write(true);
    expect(readdirSync(folder).toSorted()).toEqual([".cdh-inspect", ".vscode", "core", "debug", "gdbinit", "sysroot"]);
  });

  it.each(["sysroot/usr/bin/mine", "debug/mine", ".vscode/launch.json", "report.txt", "core.partial", "program"])(
    "keeps %s, which somebody put there",
    async (name) => {
      await write(true);
      if (name === ".vscode/launch.json") {
        // Not on the list, as if another command had made the directory.
        const marker = join(folder, ".cdh-inspect");
        writeFileSync(marker, readFileSync(marker, "utf8").replace(`${JSON.stringify(name)}\n`, ""));
      }
      if (name === "core.partial") {
        const marker = join(folder, ".cdh-inspect");
        writeFileSync(marker, readFileSync(marker, "utf8").replace(`${JSON.stringify(name)}\n`, ""));
      }
      writeFileSync(join(folder, name), "mine");
      const error = { code: "CDH_DISK", message: expect.stringContaining(`${name} in it is not this command's`) };
      await expect(OfflineMade.begin(folder, true)).rejects.toMatchObject(error);
      expect(readFileSync(join(folder, name), "utf8")).toBe("mine");
      expect(readFileSync(join(folder, "gdbinit"), "utf8")).toBe("ours");
    },
  );

  it("leaves what its list names outside of it, or behind a link", async () => {
    await write(true);
    const outside = join(place, "outside");
    mkdirSync(join(outside, "bin"), { recursive: true });
    writeFileSync(join(outside, "bin/server"), "mine");
    rmSync(join(folder, "sysroot"), { recursive: true });
    mkdirSync(join(folder, "sysroot"));
    symlinkSync(outside, join(folder, "sysroot/usr"));
    await expect(OfflineMade.begin(folder, true)).rejects.toMatchObject({ message: /sysroot\/usr in it/ });
    rmSync(join(folder, "sysroot/usr"));
    writeFileSync(
      join(folder, ".cdh-inspect"),
      'unpack --with-binaries\n"../outside/bin/server"\n"/etc/x"\n"gdbinit"\n',
    );
    await OfflineMade.begin(folder, true).catch(() => {});
    expect(readFileSync(join(outside, "bin/server"), "utf8")).toBe("mine");
  });
});

describe("somebody's directory", () => {
  it.each(["debug", "sysroot", "core", "gdbinit", "report.txt", ".vscode/launch.json", "program.dwp"])(
    "keeps its %s, also when told to write into it",
    async (name) => {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      if (name === "debug" || name === "sysroot") mkdirSync(join(folder, name));
      else writeFileSync(join(folder, name), "mine");
      await expect(OfflineMade.begin(folder, true)).rejects.toMatchObject({ code: "CDH_DISK" });
      expect(existsSync(join(folder, name))).toBe(true);
      expect(existsSync(join(folder, ".cdh-inspect"))).toBe(false);
    },
  );

  it("gets nothing through a link that has the marker's name", async () => {
    mkdirSync(folder);
    writeFileSync(join(folder, "mine"), "mine");
    symlinkSync(join(folder, "mine"), join(folder, ".cdh-inspect"));
    await expect(OfflineMade.begin(folder, true)).rejects.toMatchObject({ message: /\.cdh-inspect in it/ });
    expect(readFileSync(join(folder, "mine"), "utf8")).toBe("mine");
    expect(lstatSync(join(folder, ".cdh-inspect")).isSymbolicLink()).toBe(true);
  });
});
