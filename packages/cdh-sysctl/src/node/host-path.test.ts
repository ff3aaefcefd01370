import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { describeUnless } from "../../../../test/helpers/skip.ts";
import { makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { mountOptionsOf, resolveHostPath, type HostPath } from "./host-path.ts";

const nodes: FakeNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) node.remove();
});

/** A host root of its own with some directories in it. */
function makeHost(...directories: string[]): { root: string; resolve: (path: string, sticky?: boolean) => HostPath } {
  const node = makeFakeNode();
  nodes.push(node);
  const root = join(node.directory, "root");
  for (const directory of ["", ...directories]) mkdirSync(join(root, directory), { recursive: true });
  return { root, resolve: (path, sticky) => resolveHostPath({ ...node.roots, host: root }, path, sticky) };
}

const unprivileged = process.getuid?.() === 0 ? undefined : "not root: every directory belongs to somebody else then";

describeUnless(unprivileged, "resolveHostPath", () => {
  it("takes a plain path as it is, and tells how much of it exists", () => {
    const { resolve } = makeHost("var/mnt");
    expect(resolve("/var/mnt/core-dump-handler")).toEqual({
      path: "/var/mnt/core-dump-handler",
      existing: "/var/mnt",
      problems: [],
    });
  });

  it("follows links relative to the node's root, not to ours", () => {
    const { root, resolve } = makeHost("var/mnt");
    symlinkSync("/var/mnt", join(root, "mnt"));
    symlinkSync("../mnt", join(root, "var", "up"));
    expect(resolve("/mnt/x").path).toBe("/var/mnt/x");
    expect(resolve("/var/up/x")).toMatchObject({ path: "/var/mnt/x", problems: [] });
    symlinkSync("/../../../../etc", join(root, "escape"));
    expect(resolve("/escape/x").path).toBe("/etc/x");
  });

  it("gives up on links in a circle", () => {
    const { root, resolve } = makeHost();
    symlinkSync("/b", join(root, "a"));
    symlinkSync("/a", join(root, "b"));
    expect(resolve("/a/x").problems).toEqual(["/a/x has too many symbolic links"]);
  });

  it.each([
    ["writable for everybody", 0o777, 0, 0, "/d/h is writable for everybody"],
    ["sticky and writable for everybody", 0o1777, 0, 0, "/d/h is writable for everybody"],
    ["writable for another group", 0o775, 0, 1000, "/d/h is writable for group 1000"],
    ["somebody else's", 0o755, 1000, 0, "/d/h belongs to uid 1000, not to root"],
  ])("distrusts a directory that is %s", (_name, mode, uid, gid, problem) => {
    const { root, resolve } = makeHost("d/h");
    chownSync(join(root, "d/h"), uid, gid);
    chmodSync(join(root, "d/h"), mode);
    expect(resolve("/d/h").problems).toEqual([problem]);
    expect(resolve("/d/h/below").problems).toHaveLength(mode === 0o1777 ? 0 : 1);
  });

  it("distrusts a link that somebody else can turn", () => {
    const { root, resolve } = makeHost("d");
    symlinkSync("/d", join(root, "l"));
    // Only the link itself, not what it leads to.
    lchownSync(join(root, "l"), 1000, 0);
    expect(resolve("/l/h").problems).toEqual(["/l is a symbolic link that belongs to uid 1000"]);
  });

  it("accepts a sticky directory at the end only where that is asked for", () => {
    const { root, resolve } = makeHost("cores");
    chmodSync(join(root, "cores"), 0o1733);
    expect(resolve("/cores", true).problems).toEqual([]);
    chmodSync(join(root, "cores"), 0o777);
    expect(resolve("/cores", true).problems).toHaveLength(1);
  });

  it("says when something on the way is no directory", () => {
    const { root, resolve } = makeHost();
    writeFileSync(join(root, "file"), "");
    expect(resolve("/file/h").problems).toEqual(["/file is not a directory"]);
  });
});

describe("mountOptionsOf", () => {
  it("finds the mount that is seen at a path", () => {
    const node = makeFakeNode();
    nodes.push(node);
    mkdirSync(join(node.roots.proc, "self"));
    writeFileSync(
      join(node.roots.proc, "self", "mountinfo"),
      [
        "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
        "2 1 8:2 / /var rw,nosuid - ext4 /dev/sda2 rw",
        "3 1 8:3 / /var/my\\040disk ro,noexec - ext4 /dev/sda3 rw",
        "4 2 8:4 / /var rw,noexec - ext4 /dev/sda4 rw",
      ].join("\n"),
    );
    expect(mountOptionsOf(node.roots, "/varnish")).toEqual(["rw", "relatime"]);
    expect(mountOptionsOf(node.roots, "/var/x")).toEqual(["rw", "noexec"]);
    expect(mountOptionsOf(node.roots, "/var/my disk/h")).toEqual(["ro", "noexec"]);
  });
});
