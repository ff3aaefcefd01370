import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isPlainPath, tryOpenForeign } from "./open-foreign.ts";
import { openRegularFile } from "./regular-file.ts";

let place: string;

beforeAll(async () => {
  place = await realpath(await mkdtemp(join(tmpdir(), "cdh-foreign-")));
  await mkdir(join(place, "root/usr/lib"), { recursive: true });
  await writeFile(join(place, "root/usr/lib/libx.so.1"), "inside");
  await writeFile(join(place, "outside"), "outside");
  execFileSync("mkfifo", [join(place, "root/fifo")]);
});

afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

async function textAt(path: string, root?: string): Promise<string | undefined> {
  const found = await tryOpenForeign(path, root);
  if (found === undefined) return undefined;
  const text = await found.file.readFile("utf8");
  await found.file.close();
  return text;
}

describe("tryOpenForeign", () => {
  it("opens a regular file of this machine, and inside of a root", async () => {
    expect(await textAt(join(place, "outside"))).toBe("outside");
    expect(await textAt("/usr/lib/libx.so.1", join(place, "root"))).toBe("inside");
  });

  it("follows links inside of the root, and none of them out of it", async () => {
    const root = join(place, "root");
    await symlink("/usr/lib", join(root, "lib"));
    await symlink("libx.so.1", join(root, "usr/lib/libx.so"));
    await symlink("../../../outside", join(root, "usr/lib/relative"));
    await symlink(join(place, "outside"), join(root, "usr/lib/absolute"));
    await symlink("/proc/self/exe", join(root, "usr/lib/proc"));
    await symlink("loop", join(root, "usr/lib/loop"));
    expect(await textAt("/lib/libx.so", root)).toBe("inside");
    expect((await tryOpenForeign("/lib/libx.so", root))?.path).toBe(join(root, "usr/lib/libx.so.1"));
    for (const path of [
      "/lib/relative",
      "/lib/absolute",
      "/lib/proc",
      "/lib/loop",
      "/../outside",
      "/lib/../../outside",
    ])
      expect(await textAt(path, root), path).toBeUndefined();
  });

  it("waits for no FIFO and opens no directory", async () => {
    expect(await textAt("/fifo", join(place, "root"))).toBeUndefined();
    expect(await textAt(join(place, "root/fifo"))).toBeUndefined();
    expect(await textAt(join(place, "root"))).toBeUndefined();
  });

  it("looks at nothing that the kernel makes up, by name or through a link of this machine", async () => {
    await symlink("/proc", join(place, "mask"));
    for (const path of [
      "/proc/self/exe",
      "/dev/null",
      "/sys/kernel/notes",
      "/net/host/x",
      join(place, "mask/self/exe"),
    ])
      expect(await textAt(path), path).toBeUndefined();
  });

  it("knows the kernel's mounts elsewhere too", async (context) => {
    if (process.platform !== "linux" || process.getuid?.() !== 0) context.skip("only root may mount");
    const elsewhere = join(place, "elsewhere");
    await mkdir(elsewhere);
    execFileSync("mount", ["-t", "proc", "proc", elsewhere]);
    try {
      expect(await textAt(join(elsewhere, "version"))).toBeUndefined();
      // Whoever names it as the root means it.
      expect(await textAt("/version", elsewhere)).toContain("Linux");
    } finally {
      execFileSync("umount", [elsewhere]);
    }
  });
});

it("isPlainPath refuses what another platform would read otherwise", () => {
  expect(isPlainPath("/usr/lib/libc.so.6")).toBe(true);
  for (const path of [
    "//evil.example/share/x",
    "/a//b",
    "\\\\evil\\share",
    "/a\\b",
    "C:/x",
    "x",
    "",
    "/a\0b",
    `/${"x".repeat(4096)}`,
  ])
    expect(isPlainPath(path), path).toBe(false);
});

describe("openRegularFile", () => {
  it("neither waits for a FIFO nor opens a device", async () => {
    for (const path of [join(place, "root/fifo"), "/dev/null", place])
      for (const followLinks of [false, true])
        await expect(openRegularFile(path, { followLinks }), path).rejects.toMatchObject({
          code: "CDH_DISK",
          message: expect.stringContaining("not a regular file"),
        });
    await expect(openRegularFile(join(place, "none"))).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
  });

  it("follows a link only where asked to", async () => {
    await symlink(join(place, "outside"), join(place, "link"));
    await expect(openRegularFile(join(place, "link"))).rejects.toMatchObject({ code: "CDH_DISK" });
    const file = await openRegularFile(join(place, "link"), { followLinks: true });
    await file.close();
  });
});
