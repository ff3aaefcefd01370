import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { builtPath, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { listKeys, s3Request, type S3Account } from "../helpers/s3-request.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { makeBundle, type BundleSpec, type MadeBundle } from "./bundles.ts";

/** A spool of its own and what is needed to use it. */
export interface Workbench extends AsyncDisposable {
  directory: string;
  coreDir: string;
  env: Record<string, string>;
  /** Publish a bundle; its hash is remembered. */
  publish(spec?: BundleSpec): Promise<MadeBundle & { sha256: string }>;
  /** Names in the spool that are no directories of the uploader's own. */
  spool(): Promise<string[]>;
  sweep(args?: readonly string[], env?: Record<string, string>): Promise<BuiltResult>;
  /** Start the daemon. */
  run(env?: Record<string, string>): TiedChild;
}

/** Make a spool. @param env the store's settings */
export async function makeWorkbench(env: Record<string, string>): Promise<Workbench> {
  const directory = await mkdtemp(join(tmpdir(), "cdh-upload-"));
  const coreDir = join(directory, "cores");
  await mkdir(coreDir, { mode: 0o700 });
  const full = { PATH: "/usr/bin:/bin", LOG_FORMAT: "json", ...env, CORE_DIR: coreDir };
  const children: TiedChild[] = [];
  return {
    directory,
    coreDir,
    env: full,
    publish: async (spec) => {
      const bundle = await makeBundle(coreDir, spec);
      return { ...bundle, sha256: await sha256OfFile(bundle.path) };
    },
    spool: async () =>
      (await readdir(coreDir)).filter((name) => !["state", "quarantine", "uploaded"].includes(name)).toSorted(),
    sweep: (args = [], more = {}) =>
      runBuilt("cdh-upload", ["sweep", "-o", "json", ...args], { env: { ...full, ...more } }),
    run: (more = {}) => {
      const child = startTied(builtPath("cdh-upload"), ["run"], { env: { ...full, ...more }, cwd: directory });
      children.push(child);
      return child;
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) await child.stop("KILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Hash a file. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Hash an object in a bucket, read with other eyes than the program's; undefined when there is none. */
export async function sha256OfObject(account: S3Account, bucket: string, key: string): Promise<string | undefined> {
  const answer = await s3Request(account, "GET", `/${bucket}/${key}`);
  if (answer.status === 404) return undefined;
  if (!answer.ok || answer.body === null) throw new Error(`reading ${key}: ${answer.status}`);
  const hash = createHash("sha256");
  for await (const chunk of answer.body) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

/** Expect a bundle to lie in the bucket, whole, with its manifest, and nothing else of its name. */
export async function expectStored(
  account: S3Account,
  bucket: string,
  bundle: MadeBundle & { sha256: string },
  folder = "_host",
): Promise<void> {
  const keys = [...(await listKeys(account, bucket, `${folder}/${bundle.name}`)).keys()];
  expect(keys.toSorted()).toEqual([`${folder}/${bundle.name}.manifest.json`, `${folder}/${bundle.name}.zip`]);
  expect(await sha256OfObject(account, bucket, `${folder}/${bundle.name}.zip`)).toBe(bundle.sha256);
}

/** Expect no unfinished upload of a key. Exactly the key, because MinIO lists nothing for a shorter prefix. */
export async function expectNoUploads(account: S3Account, bucket: string, key: string): Promise<void> {
  const answer = await s3Request(account, "GET", `/${bucket}`, { query: { uploads: "", prefix: key } });
  expect(await answer.text()).not.toContain("<UploadId>");
}

/** Wait until something holds, looking often; fails with the daemon's words when it takes too long. */
export async function expectSoon(
  what: string,
  holds: () => Promise<boolean> | boolean,
  options: { child?: TiedChild; timeoutMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + (options.timeoutMs ?? 50_000);
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}\n${options.child?.output() ?? ""}`);
    await delay(25);
  }
}

/** Read the lines of a JSON log. */
export function logLines(output: string): Record<string, unknown>[] {
  return output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
