import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import { tryExamineFile } from "./file-source.ts";
import { findModuleFile } from "./find-files.ts";
import { removeUnusedSymbols } from "./remove-unused-symbols.ts";
import { SymbolCache } from "./symbol-cache.ts";
import { SymbolFiles, type SymbolPlace } from "./symbol-files.ts";

/** Any program with a build-id will do. */
const PROGRAM = "/usr/bin/env";
const buildId = (await tryExamineFile(PROGRAM))?.buildId;

let folder: string;
beforeEach(async (context) => {
  if (buildId === undefined) context.skip(`${PROGRAM} of this machine has no build-id`);
  folder = await mkdtemp(join(tmpdir(), "cdh-symbol-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A place with one program. */
class Shelf implements SymbolPlace {
  readonly url: string;
  version: string | undefined = "first";
  /** What looking, or fetching, ends with. */
  troubles: { find?: string; write?: string } = {};
  fetched = 0;

  constructor(url: string) {
    this.url = url;
  }

  async parts(): ReturnType<SymbolPlace["parts"]> {
    return { executable: this.version !== undefined, debuginfo: false };
  }

  async find({ role }: { role: string }): ReturnType<SymbolPlace["find"]> {
    if (this.troubles.find !== undefined) throw new CdhError("CDH_STORE_UNREACHABLE", this.troubles.find);
    if (this.version === undefined || role !== "executable") return undefined;
    const write = async (path: string): Promise<void> => {
      if (this.troubles.write !== undefined) throw new CdhError("CDH_STORE_UNREACHABLE", this.troubles.write);
      this.fetched += 1;
      await copyFile(PROGRAM, path);
    };
    return { label: this.url, version: this.version, write };
  }
}

/** Look once, as one command does. */
async function look(...places: SymbolPlace[]): Promise<{ path: string | undefined; warnings: string[] }> {
  const warnings: string[] = [];
  const files = new SymbolFiles({
    cacheOf: (url) => new SymbolCache(folder, url, systemClock),
    places: async () => places,
    warn: (text) => warnings.push(text),
  });
  return { path: await files.find(buildId ?? "", "executable"), warnings };
}

it("fetches a file once for each version and place", async () => {
  const [one, two] = [new Shelf("s3://one/"), new Shelf("s3://two/")];
  const { path = "" } = await look(one);
  expect((await readFile(path)).equals(await readFile(PROGRAM))).toBe(true);
  await look(one);
  expect(one.fetched).toBe(1);
  one.version = "second";
  await look(one);
  await look(one);
  expect(one.fetched).toBe(2);
  expect((await look(two)).path).not.toBe(path);
  expect(two.fetched).toBe(1);
});

it("keeps what a place had only while the place cannot be asked", async () => {
  const one = new Shelf("s3://one/");
  const { path } = await look(one);
  one.troubles = { find: "it is down" };
  expect(await look(one)).toEqual({ path, warnings: ["it is down (CDH_STORE_UNREACHABLE)"] });
  // It has said that it has another one: the old one may be what was repaired.
  one.troubles = { write: "it went down" };
  one.version = "second";
  expect(await look(one)).toMatchObject({ path: undefined });
  one.troubles = {};
  expect((await look(one)).path).toBe(path);
  one.version = undefined;
  expect((await look(one)).path).toBeUndefined();
  one.troubles = { find: "it is down" };
  expect((await look(one)).path).toBeUndefined();
});

it("gives nothing that another put there", async () => {
  const one = new Shelf("s3://one/");
  const { path = "" } = await look(one);
  await rm(path);
  await copyFile(PROGRAM, path);
  expect((await look(one)).path).toBe(path);
  expect(one.fetched).toBe(2);
});

it("removes what was not used for a week", async () => {
  const [used, unused] = [new Shelf("s3://used/"), new Shelf("s3://unused/")];
  const paths = [(await look(used)).path ?? "", (await look(unused)).path ?? ""] as const;
  const long = Date.now() / 1000 - 8 * 24 * 3600;
  for (const path of paths) await utimes(dirname(path), long, long);
  await look(used);
  await removeUnusedSymbols(folder, Date.now());
  expect(await Promise.all(paths.map((path) => tryExamineFile(path)))).toMatchObject([{ buildId }, undefined]);
  await removeUnusedSymbols(join(folder, "nothing"), Date.now());
});

it("takes a file without a build-id under its SHA-256, and nothing else", async () => {
  const [program, other] = [join(folder, "unnamed"), join(folder, "other")];
  const bytes = await readFile(PROGRAM);
  // The note's name is "GNU": under another one it is no build-id.
  const at = bytes.indexOf(Buffer.concat([Buffer.from("GNU\0"), Buffer.from(buildId ?? "", "hex")]));
  bytes.write("XNU", at);
  await writeFile(program, bytes);
  await writeFile(other, Buffer.concat([bytes, Buffer.from("x")]));
  const id = { buildId: createHash("sha256").update(bytes).digest("hex"), role: "executable" as const };
  const cache = new SymbolCache(join(folder, "cache"), "s3://x", systemClock);
  const offered = (from: string): Parameters<SymbolCache["add"]>[1] => ({
    label: "x",
    version: "1",
    write: (path) => copyFile(from, path),
  });
  await expect(cache.add(id, offered(other))).rejects.toMatchObject({ code: "CDH_DAMAGED", message: /no build-id/ });
  const { path } = await cache.add(id, offered(program));
  expect((await cache.find(id, "1"))?.path).toBe(path);
  const wishes = { symbols: { find: async (): Promise<string> => path } };
  const wanted = { path: "/nowhere/unnamed", sha256: id.buildId };
  const found = await findModuleFile(wanted, wishes);
  expect(found.file?.path).toBe(path);
  await found.file?.close();
  // Whatever says that it is another build is not it.
  const named = { symbols: { find: async (): Promise<string> => PROGRAM } };
  expect((await findModuleFile(wanted, named)).file).toBeUndefined();
});
