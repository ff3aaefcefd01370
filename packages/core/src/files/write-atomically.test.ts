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
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { partialOf, writeAtomically, writeAtomicallySync } from "./write-atomically.ts";

let place: string;
beforeEach(() => void (place = mkdtempSync(join(tmpdir(), "cdh-atomic-"))));
afterEach(() => rmSync(place, { recursive: true, force: true }));

describe.each([
  ["writeAtomically", writeAtomically],
  ["writeAtomicallySync", async (...args: Parameters<typeof writeAtomicallySync>) => writeAtomicallySync(...args)],
] as const)("%s", (_name, write) => {
  it.each(["name", "content", "nothing"] as const)("replaces the content, flushing %s", async (flush) => {
    const path = join(place, "file");
    await write(path, "old", { mode: 0o600, flush });
    await write(path, Buffer.from("new"), { mode: 0o640, flush });
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(place)).toEqual(["file"]);
  });

  it("takes away what an earlier attempt left, and follows no link that lies there", async () => {
    const path = join(place, "file");
    const outside = join(place, "outside");
    writeFileSync(outside, "theirs");
    symlinkSync(outside, partialOf(path));
    await write(path, "ours", { mode: 0o600 });
    expect([readFileSync(path, "utf8"), readFileSync(outside, "utf8")]).toEqual(["ours", "theirs"]);
  });

  it("leaves the old content and nothing else when it fails", async () => {
    const path = join(place, "file");
    mkdirSync(path);
    writeFileSync(join(path, "inside"), "old");
    await expect(write(path, "new", { mode: 0o600 })).rejects.toMatchObject({ code: "EISDIR" });
    expect(readdirSync(place)).toEqual(["file"]);
    await expect(write(join(place, "none/file"), "new", { mode: 0o600 })).rejects.toMatchObject({ code: "ENOENT" });
  });
});

it("prepares the file before it has its name", async () => {
  const path = join(place, "file");
  const seen: boolean[] = [];
  const prepare = async (): Promise<void> => {
    seen.push(existsSync(path));
    chmodSync(partialOf(path), 0o644);
  };
  await writeAtomically(path, "x", { mode: 0o600, prepare });
  expect([seen, statSync(path).mode & 0o777]).toEqual([[false], 0o644]);
  await expect(
    writeAtomically(path, "y", { mode: 0o600, prepare: () => Promise.reject(new Error("no")) }),
  ).rejects.toThrow("no");
  expect([readFileSync(path, "utf8"), readdirSync(place)]).toEqual(["x", ["file"]]);
});
