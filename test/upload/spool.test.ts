import { execFileSync } from "node:child_process";
import {
  appendFile,
  copyFile,
  link,
  mkdir,
  readFile,
  readdir,
  rename,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { logLines, makeWorkbench, sha256OfFile, expectSoon, type Workbench } from "./workbench.ts";

interface Row {
  bundle: string;
  status: string;
  code?: string;
  location?: string;
}

const benches: Workbench[] = [];

afterEach(async () => {
  for (const each of benches.splice(0)) await each[Symbol.asyncDispose]();
});

/** A spool whose store is a directory beside it. */
async function bench(env: Record<string, string> = {}): Promise<Workbench & { store: string }> {
  const made = await makeWorkbench(env);
  benches.push(made);
  const store = join(made.directory, "store");
  made.env["STORE_URL"] = `file://${store}`;
  return { ...made, store };
}

function rowsOf(stdout: string): Row[] {
  return (JSON.parse(stdout) as { bundles: Row[] }).bundles;
}

/** Make a file look as if nobody had written to it for an hour. */
async function quieten(path: string): Promise<void> {
  const hourAgo = (Date.now() - 3600e3) / 1000;
  await utimes(path, hourAgo, hourAgo);
}

describeUnless(notBuilt("cdh-upload"), "cdh-upload and what lies in the spool", () => {
  it("moves bundles to their namespaces, the manifest beside each, and deletes its own", async () => {
    const work = await bench();
    const pod = await work.publish({ namespace: "team-a" });
    const host = await work.publish();
    const result = await work.sweep();
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await sha256OfFile(join(work.store, "team-a", pod.fileName))).toBe(pod.sha256);
    expect(await sha256OfFile(join(work.store, "_host", host.fileName))).toBe(host.sha256);
    const manifest = JSON.parse(
      await readFile(join(work.store, "team-a", `${pod.name}.manifest.json`), "utf8"),
    ) as object;
    expect(manifest).toMatchObject({ crashId: pod.crashId, pod: { namespace: "team-a" } });
    expect(await work.spool()).toEqual([]);
  });

  it("keeps what it uploaded when it is told to, and says that nothing is left", async () => {
    const work = await bench({ KEEP_UPLOADED: "true" });
    const bundle = await work.publish();
    expect((await work.sweep()).exitCode).toBe(0);
    expect(await sha256OfFile(join(work.coreDir, "uploaded", bundle.fileName))).toBe(bundle.sha256);
    expect(rowsOf((await work.sweep()).stdout)).toEqual([]);
  });

  it("uploads one file from anywhere", async () => {
    const work = await bench();
    const bundle = await work.publish();
    const elsewhere = join(work.directory, bundle.fileName);
    await rename(bundle.path, elsewhere);
    const result = await work.sweep([elsewhere]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await readdir(join(work.store, "_host"))).toContain(bundle.fileName);
  });

  it("counts a bundle that lies there already as done, and finishes its manifest", async () => {
    const work = await bench();
    const bundle = await work.publish();
    await copyFile(bundle.path, join(work.directory, "copy"));
    expect((await work.sweep()).exitCode).toBe(0);
    await execFileSync("rm", [join(work.store, "_host", `${bundle.name}.manifest.json`)]);
    await copyFile(join(work.directory, "copy"), bundle.path);
    const again = await work.sweep();
    expect(again.exitCode, again.stderr).toBe(0);
    expect(rowsOf(again.stdout)[0]).toMatchObject({ status: "uploaded", alreadyThere: true });
    expect(await readdir(join(work.store, "_host"))).toContain(`${bundle.name}.manifest.json`);
  });

  it("never replaces other content, and puts the bundle aside after a few attempts, across restarts", async () => {
    const work = await bench();
    const bundle = await work.publish();
    await mkdir(join(work.store, "_host"), { recursive: true });
    await writeFile(join(work.store, "_host", bundle.fileName), "somebody else's");
    const codes: (number | null)[] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) codes.push((await work.sweep()).exitCode);
    expect(codes).toEqual([15, 15, 15]);
    expect(await readFile(join(work.store, "_host", bundle.fileName), "utf8")).toBe("somebody else's");
    expect(await work.spool()).toEqual([]);
    expect(await sha256OfFile(join(work.coreDir, "quarantine", bundle.fileName))).toBe(bundle.sha256);
    const reason = JSON.parse(
      await readFile(join(work.coreDir, "quarantine", `${bundle.fileName}.reason.json`), "utf8"),
    ) as object;
    expect(reason).toMatchObject({ bundle: bundle.fileName, code: "CDH_STORE_CONFLICT", attempts: 3 });
  });

  it("reads IBM's bundles, which have no manifest", async () => {
    const work = await bench();
    const pod = JSON.stringify({ id: "aa", metadata: { name: "web-7", namespace: "shop", uid: "1-2" } });
    const bundle = await work.publish({ manifest: undefined, entries: { "-pod-info.json": pod } });
    const result = await work.sweep();
    expect(result.exitCode, result.stderr).toBe(0);
    const manifest = JSON.parse(
      await readFile(join(work.store, "shop", `${bundle.name}.manifest.json`), "utf8"),
    ) as object;
    expect(manifest).toMatchObject({
      crashId: bundle.crashId,
      crashedAt: "2025-11-24T16:00:00.000Z",
      signal: { number: 11, name: "SIGSEGV" },
      process: { comm: "sleep", exe: "/bin/sleep", pidInNamespace: 1 },
      pod: { name: "web-7", namespace: "shop" },
      identity: { source: "hostname", verified: false },
    });
  });

  it.each([
    ["a namespace that climbs", { pod: { namespace: "../../etc", name: "x" } }],
    ["a namespace with a slash", { pod: { namespace: "a/b", name: "x" } }],
    ["an empty namespace", { pod: { namespace: "", name: "x" } }],
    ["a manifest of another shape", { signal: 7, pod: { namespace: 3 } }],
    ["a manifest of a later version without a pod", { schemaVersion: 99 }],
  ])("does not let a bundle choose its folder by %s", async (_name, manifest) => {
    const work = await bench();
    const bundle = await work.publish({ manifest });
    expect((await work.sweep()).exitCode).toBe(0);
    expect(await readdir(join(work.store, "_host"))).toContain(bundle.fileName);
    expect(await readdir(work.store)).toEqual(["_host"]);
  });

  it("uploads a bundle of a later version as it is", async () => {
    const work = await bench();
    const bundle = await work.publish({
      manifest: { schemaVersion: 2, pod: { namespace: "team-z", name: "x" }, wonders: true },
    });
    expect((await work.sweep()).exitCode).toBe(0);
    const manifest = JSON.parse(
      await readFile(join(work.store, "team-z", `${bundle.name}.manifest.json`), "utf8"),
    ) as object;
    expect(manifest).toMatchObject({ schemaVersion: 2, wonders: true });
  });

  describe("hostile files", () => {
    it("are left alone, never followed, never fatal", async () => {
      const work = await bench();
      const good = await work.publish();
      const outside = join(work.directory, "secret.zip");
      await copyFile(good.path, outside);
      await symlink(outside, join(work.coreDir, "link.zip"));
      await symlink("/nowhere", join(work.coreDir, "dangling.zip"));
      await mkdir(join(work.coreDir, "folder.zip"));
      execFileSync("mkfifo", [join(work.coreDir, "fifo.zip")]);
      await writeFile(join(work.coreDir, ".hidden.zip"), "x");
      await writeFile(join(work.coreDir, ".zip"), "x");
      await writeFile(join(work.coreDir, "notes.txt"), "x");
      await writeFile(join(work.coreDir, ".late.zip.partial"), "x");
      const before = (await readdir(work.coreDir)).filter((name) => name !== good.fileName).toSorted();
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      expect(rowsOf(result.stdout).map((row) => row.bundle)).toEqual([good.fileName]);
      expect((await readdir(work.coreDir)).toSorted()).toEqual(before);
      expect(await sha256OfFile(outside)).toBe(good.sha256);
    });

    it("with odd names still arrive, under keys that are safe", async () => {
      const work = await bench();
      const names = [
        "a b",
        'quo"te',
        "new\nline",
        "..x",
        "back\\slash",
        "ünï \u{1f4a5}",
        "dots...",
        "%2e%2e%2f",
        "-rf",
      ];
      const usable = names.filter((name) => !name.startsWith("."));
      for (const name of usable) await work.publish({ name, namespace: "team-a" });
      const result = await work.sweep();
      // No entry of a zip may be named like that: it stays, and nothing else does.
      const refused = rowsOf(result.stdout).filter((row) => row.status !== "uploaded");
      expect(refused.map((row) => row.bundle)).toEqual(["new\nline.zip"]);
      expect((await readdir(work.store)).toSorted()).toEqual(["team-a"]);
      expect((await readdir(join(work.store, "team-a"))).filter((name) => name.endsWith(".zip")).length).toBe(
        usable.length - 1,
      );
    });

    it.each([
      ["zero bytes", async (path: string) => truncate(path, 0)],
      ["a zip without its end", async (path: string) => truncate(path, 5000)],
      ["noise", async (path: string) => writeFile(path, Buffer.alloc(4000, "noise"))],
      ["something behind its end", async (path: string) => appendFile(path, Buffer.alloc(100_000, 1))],
    ])("that are damaged (%s) go to quarantine once they are quiet", async (_name, damage) => {
      const work = await bench({ QUARANTINE_ATTEMPTS: "2" });
      const bad = await work.publish();
      const good = await work.publish();
      await damage(bad.path);
      expect(rowsOf((await work.sweep()).stdout).find((row) => row.bundle === bad.fileName)).toMatchObject({
        status: "unfinished",
      });
      expect(await work.spool()).toEqual([bad.fileName]);
      await quieten(bad.path);
      expect((await work.sweep()).exitCode).toBe(16);
      expect(await work.spool()).toEqual([bad.fileName]);
      await work.sweep();
      expect(await work.spool()).toEqual([]);
      expect(await readdir(join(work.coreDir, "quarantine"))).toEqual([bad.fileName, `${bad.fileName}.reason.json`]);
      expect(await readdir(join(work.store, "_host"))).toContain(good.fileName);
    });

    it("that are no bundle go to quarantine", async () => {
      const work = await bench({ QUARANTINE_ATTEMPTS: "1" });
      const plain = join(work.directory, "hello.txt");
      await writeFile(plain, "hello");
      execFileSync("zip", ["-q", "-j", join(work.coreDir, "photos.zip"), plain]);
      await quieten(join(work.coreDir, "photos.zip"));
      await work.sweep();
      const reason = await readFile(join(work.coreDir, "quarantine", "photos.zip.reason.json"), "utf8");
      expect(JSON.parse(reason)).toMatchObject({ code: "CDH_BUNDLE_NO_CORE" });
    });

    it("that still grow are waited for", async () => {
      const work = await bench({ INTERVAL: "1000" });
      const bundle = await work.publish();
      const whole = await readFile(bundle.path);
      await writeFile(bundle.path, whole.subarray(0, 4000));
      const child = work.run({ LOG_LEVEL: "debug" });
      await expectSoon("it was tried", () => child.output().includes("upload unfinished"), { child });
      await appendFile(bundle.path, whole.subarray(4000));
      await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
      expect(await sha256OfFile(join(work.store, "_host", bundle.fileName))).toBe(bundle.sha256);
      expect(logLines(child.output()).some((line) => line["msg"] === "moved to quarantine")).toBe(false);
    });

    it("with a second name elsewhere lose only the one in the spool", async () => {
      const work = await bench();
      const bundle = await work.publish();
      await link(bundle.path, join(work.directory, "second"));
      expect((await work.sweep()).exitCode).toBe(0);
      expect(await sha256OfFile(join(work.directory, "second"))).toBe(bundle.sha256);
    });
  });

  describe("room", () => {
    it("is made from what is uploaded first, the oldest of whoever uses most", async () => {
      const work = await bench({ KEEP_UPLOADED: "true" });
      const small = await work.publish({ namespace: "calm", coreBytes: 10_000 });
      const loud = [
        await work.publish({ namespace: "loud", coreBytes: 50_000 }),
        await work.publish({ namespace: "loud", coreBytes: 50_000 }),
      ];
      expect((await work.sweep()).exitCode).toBe(0);
      const kept = join(work.coreDir, "uploaded");
      await utimes(join(kept, small.fileName), 1000, 1000);
      await utimes(join(kept, loud[0]?.fileName ?? ""), 3000, 3000);
      await utimes(join(kept, loud[1]?.fileName ?? ""), 2000, 2000);
      const child = work.run({ MAX_USE: "70000" });
      await expectSoon("room was made", async () => (await readdir(kept)).length === 2, { child });
      expect((await readdir(kept)).toSorted()).toEqual([small.fileName, loud[0]?.fileName].toSorted());
      await child.stop();
    });

    it("is never made from what was not sent, unless that is allowed", async () => {
      const work = await bench({ MAX_USE: "30000", STORE_URL: "s3://nowhere/x" });
      work.env["STORE_URL"] = "s3://nowhere/x";
      const store = { S3_ENDPOINT: "http://127.0.0.1:1", S3_ACCESS_KEY: "a", S3_SECRET: "b" };
      const old = await work.publish({ coreBytes: 20_000 });
      await utimes(old.path, 1000, 1000);
      const young = await work.publish({ coreBytes: 20_000 });
      const careful = work.run(store);
      await expectSoon("it said so", () => careful.output().includes("over its limits"), { child: careful });
      await careful.stop();
      expect(await work.spool()).toEqual([old.fileName, young.fileName].toSorted());
      const bold = work.run({ ...store, VACUUM_UNSENT: "true" });
      await expectSoon("it said so", () => bold.output().includes("gave up a bundle to make room"), { child: bold });
      expect(await work.spool()).toEqual([young.fileName]);
    });
  });

  it("says what is wrong with its settings, all at once", async () => {
    const result = await runBuilt("cdh-upload", ["run"], {
      env: {
        STORE_URL: "ftp://x",
        PART_SIZE: "1k",
        S3_KEY_TEMPLATE: "{nope}",
        INTERVAL: "soon",
        SCHEDULE: "every day",
      },
    });
    expect(result.exitCode).toBe(10);
    for (const name of ["PART_SIZE", "S3_KEY_TEMPLATE", "INTERVAL", "SCHEDULE"]) expect(result.stderr).toContain(name);
    expect(result.stderr.split("CDH_CONFIG_INVALID").length).toBe(2);
    const none = await runBuilt("cdh-upload", ["sweep"], { env: {} });
    expect(none.stderr).toContain("no store is configured");
    expect(none.exitCode).toBe(10);
  });

  it("never prints a secret", async () => {
    const result = await runBuilt("cdh-upload", ["check", "--print-config"], {
      env: {
        STORE_URL: "s3://bucket",
        S3_ACCESS_KEY: "AKIA-not-shown",
        S3_SECRET: "not-shown-either",
        S3_SESSION_TOKEN: "nor-this",
        WEBHOOK_URL: "http://x/token",
      },
    });
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout + result.stderr).not.toMatch(/not-shown|nor-this|http:\/\/x/);
    expect(result.stdout).toContain("(set)");
  });
});
