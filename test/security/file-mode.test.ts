import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { builtPath, notBuilt, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { makeHost } from "../sysctl/host.ts";
import { makeBundle } from "../upload/bundles.ts";
import { expectSoon, logLines } from "../upload/workbench.ts";

const NOBODY = 65_534;
const CORE = join(REPOSITORY, "test/fixtures/elf/x64-threads.core.gz");

/** What a forger says of a dump that never was. */
const FORGED = {
  namespace: "shop",
  manifest: { identity: { source: "oci-config", verified: true } },
};

describeUnless(
  notBuilt("cdh-upload", "cdh-sysctl") ?? (process.getuid?.() === 0 ? undefined : "only root may give files to others"),
  "a spool that others may write into (MODE=file)",
  () => {
    let directory: string;
    let coreDir: string;
    let store: string;
    let env: Record<string, string>;

    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "cdh-file-mode-"));
      chmodSync(directory, 0o755);
      coreDir = join(directory, "cores");
      store = join(directory, "store");
      mkdirSync(coreDir);
      // As older releases made it.
      chmodSync(coreDir, 0o1733);
      env = { PATH: "/usr/bin:/bin", LOG_FORMAT: "json", CORE_DIR: coreDir, STORE_URL: `file://${store}` };
    });
    afterEach(() => rmSync(directory, { recursive: true, force: true }));

    const sweep = () => runBuilt("cdh-upload", ["sweep", "-o", "json"], { env });
    const stored = (): string[] =>
      existsSync(store)
        ? readdirSync(store, { recursive: true, encoding: "utf8" })
            .filter((name) => /(^|\/)[^.][^/]*\.zip$/.test(name))
            .toSorted()
        : [];

    it("takes no bundle that is not root's, and says so once", async () => {
      const forged = await makeBundle(coreDir, FORGED);
      chownSync(forged.path, NOBODY, NOBODY);
      const own = await makeBundle(coreDir, { namespace: "team-a" });
      const { exitCode, stderr } = await sweep();
      expect(exitCode, stderr).toBe(0);
      expect(stored()).toEqual([`team-a/${own.fileName}`]);
      expect(existsSync(forged.path)).toBe(true);
      expect(logLines(stderr)).toContainEqual(expect.objectContaining({ level: "warn", name: forged.fileName }));

      const child = startTied(builtPath("cdh-upload"), ["run"], { env: { ...env, INTERVAL: "1000" }, cwd: directory });
      try {
        const told = (): number => logLines(child.output()).filter((line) => line["name"] === forged.fileName).length;
        await expectSoon("it is told", () => told() > 0, { child });
        const second = await makeBundle(coreDir, { namespace: "team-b" });
        await expectSoon("another look was taken", () => stored().includes(`team-b/${second.fileName}`), { child });
        expect(told()).toBe(1);
      } finally {
        await child.stop("KILL");
      }
      expect(stored()).not.toContain(`shop/${forged.fileName}`);
    });

    it("takes no torn bundle that is not root's for a dead composer's", async () => {
      const forged = await makeBundle(coreDir, FORGED);
      const torn = join(coreDir, `.${forged.fileName}.partial`);
      copyFileSync(forged.path, torn);
      rmSync(forged.path);
      chownSync(torn, NOBODY, NOBODY);
      utimesSync(torn, 1, 1);
      const { stderr } = await sweep();
      expect(stored()).toEqual([]);
      expect(lstatSync(torn).uid).toBe(NOBODY);
      expect(logLines(stderr)).toContainEqual(expect.objectContaining({ level: "warn" }));
    });

    it("takes no second name of root's own file", async () => {
      const elsewhere = join(directory, "elsewhere");
      mkdirSync(elsewhere);
      const bundle = await makeBundle(elsewhere, { namespace: "team-a" });
      linkSync(bundle.path, join(coreDir, bundle.fileName));
      await sweep();
      expect(stored()).toEqual([]);
      expect(existsSync(join(coreDir, bundle.fileName))).toBe(true);
    });

    it.each(["quarantine", "state", "uploaded"])("writes nothing through a link in the place of %s", async (name) => {
      const theirs = join(directory, "theirs");
      mkdirSync(theirs);
      chownSync(theirs, NOBODY, NOBODY);
      writeFileSync(join(theirs, "victim.zip"), "x");
      symlinkSync(theirs, join(coreDir, name));
      // One that goes to quarantine, and one that is uploaded and kept.
      writeFileSync(join(coreDir, "bad.zip"), "no zip at all");
      utimesSync(join(coreDir, "bad.zip"), 1, 1);
      const good = await makeBundle(coreDir);
      const more = { KEEP_UPLOADED: "true", QUARANTINE_ATTEMPTS: "1", MAX_USE: "1" };
      const child = startTied(builtPath("cdh-upload"), ["run"], { env: { ...env, ...more }, cwd: directory });
      try {
        await expectSoon("it is uploaded", () => stored().includes(`_host/${good.fileName}`), { child });
        await expectSoon("the other is in quarantine", () => !existsSync(join(coreDir, "bad.zip")), { child });
      } finally {
        await child.stop("TERM");
      }
      expect(readdirSync(theirs)).toEqual(["victim.zip"]);
      for (const own of ["quarantine", "state", "uploaded"])
        expect(lstatSync(join(coreDir, own)), own).toMatchObject({ uid: 0 });
      expect(lstatSync(join(coreDir, name)).isDirectory()).toBe(true);
      expect(child.output()).toContain("moved aside");
    });

    it("refuses one in which others may rename what is ours", async () => {
      chmodSync(coreDir, 0o777);
      await makeBundle(coreDir);
      const { exitCode, stderr } = await sweep();
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain("CDH_ENVIRONMENT");
      expect(stored()).toEqual([]);
    });

    describe("is closed by install, which gives the kernel a directory of its own", () => {
      it("and makes bundles of what arrives there, restricted where the kernel gave it to root", async () => {
        using host = makeHost();
        const cores = join(host.directory, "cores");
        const install = () => host.run(["install", "--mode", "file", "--core-dir", cores]);
        expect((await install()).exitCode).toBe(0);
        expect(host.values()["core_pattern"]).toBe(`${cores}/plain/core.%h.%e.%P.%s.%t.cdh`);
        const modes = Object.fromEntries(
          ["", "plain", "state", "quarantine"].map((name) => [name, lstatSync(join(cores, name)).mode & 0o7777]),
        );
        expect(modes).toEqual({ "": 0o711, plain: 0o1733, state: 0o700, quarantine: 0o700 });

        const bytes = gunzipSync(readFileSync(CORE));
        const leave = (comm: string, uid: number): void => {
          const path = join(cores, "plain", `core.web.${comm}.4242.11.1763700000.cdh`);
          writeFileSync(path, bytes, { mode: 0o600 });
          chownSync(path, uid, uid);
          utimesSync(path, 1_763_700_000, 1_763_700_000);
        };
        leave("users", 1000);
        leave("roots", 0);
        symlinkSync("/etc/hostname", join(cores, "plain", "core.link"));
        env["CORE_DIR"] = cores;
        const { exitCode, stderr } = await sweep();
        expect(exitCode, stderr).toBe(0);
        expect(stored()).toHaveLength(2);
        const manifests = readdirSync(join(store, "_host"))
          .filter((name) => name.endsWith(".manifest.json"))
          .map((name) => JSON.parse(readFileSync(join(store, "_host", name), "utf8")) as Record<string, unknown>);
        const uid = (manifests[0] as { process: { uid: number } }).process.uid;
        const restricted = manifests.map((manifest) => [
          (manifest["process"] as { comm: string }).comm,
          manifest["restricted"],
        ]);
        expect(new Map(restricted as [string, unknown][])).toEqual(
          new Map<string, unknown>([
            ["users", undefined],
            ["roots", uid === 0 ? undefined : true],
          ]),
        );
        expect(readdirSync(join(cores, "plain"))).toEqual(["core.link"]);
        // Once more changes nothing.
        expect((await install()).stdout).not.toContain("moved aside");
      });

      it("and an older layout is closed, with what others had put there moved aside", async () => {
        using host = makeHost();
        const cores = join(host.directory, "cores");
        mkdirSync(cores);
        chmodSync(cores, 0o1733);
        const theirs = join(host.directory, "theirs");
        mkdirSync(theirs);
        symlinkSync(theirs, join(cores, "quarantine"));
        mkdirSync(join(cores, "state"));
        chownSync(join(cores, "state"), NOBODY, NOBODY);
        const { exitCode, stdout } = await host.run(["install", "--mode", "file", "--core-dir", cores]);
        expect(exitCode, stdout).toBe(0);
        expect(lstatSync(cores).mode & 0o7777).toBe(0o711);
        for (const name of ["quarantine", "state", "plain"]) {
          const found = lstatSync(join(cores, name));
          expect([name, found.isDirectory(), found.uid]).toEqual([name, true, 0]);
        }
        expect(readdirSync(cores).filter((name) => name.startsWith(".not-ours."))).toHaveLength(2);
        expect(readdirSync(theirs)).toEqual([]);
        // Back to the composer: closed for everybody.
        expect((await host.run(["restore"])).exitCode).toBe(0);
      });
    });
  },
);
