import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, render, STORE } from "./helm.ts";

const fixtures = join(REPOSITORY, "test", "fixtures");
const notRoot = process.geteuid?.() === 0 ? undefined : "not root";

describeUnless(
  missingTools("helm", "setpriv") ?? notBuilt("cdh-upload") ?? notRoot,
  "the uploader with the rendered capabilities",
  () => {
    let folder: string;
    let spool: string;
    let store: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "cdh-privileges-"));
      [spool, store] = [join(folder, "spool"), join(folder, "store")];
      mkdirSync(spool);
      mkdirSync(store);
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    /** Run a sweep as the kubelet starts the container: root, these capabilities and no way to more. */
    const sweep = (mode: string, ownAdd?: readonly string[]): string => {
      const { securityContext } = containerOf(render({ ...STORE, node: { mode } }), "upload");
      const { drop, add = [] } = (securityContext ?? {})["capabilities"] as { drop: string[]; add?: string[] };
      expect(drop).toEqual(["ALL"]);
      const bounding = ["-all", ...(ownAdd ?? add).map((name) => `+${name.toLowerCase()}`)].join(",");
      const { stdout, stderr } = spawnSync(
        "setpriv",
        ["--bounding-set", bounding, "--inh-caps=-all", "--no-new-privs", builtPath("cdh-upload"), "sweep"].concat(
          ["--core-dir", spool, "--store", `file://${store}`],
          ["--log-format", "json"],
        ),
        { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "" } },
      );
      return stdout + stderr;
    };
    const stored = (): string[] =>
      readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => /(^|\/)[^.][^/]*\.zip$/.test(name));

    it("takes root's bundles out of root's closed spool with none at all", () => {
      chmodSync(spool, 0o700);
      const bundle = join(spool, "a.zip");
      copyFileSync(join(fixtures, "bundles", "older", "ibm-v9-stored.zip"), bundle);
      chmodSync(bundle, 0o600);
      expect(sweep("pipe")).toContain("1 uploaded");
      expect(stored()).toEqual(["payments/a.zip"]);
      expect(existsSync(bundle)).toBe(false);
    });

    /** As the kernel leaves one in file mode. */
    const leaveCore = (): string => {
      chmodSync(spool, 0o711);
      const plain = join(spool, "plain");
      mkdirSync(plain, { recursive: true });
      chmodSync(plain, 0o1733);
      const core = join(plain, "core.web.threads.4242.11.1763700000.cdh");
      writeFileSync(core, gunzipSync(readFileSync(join(fixtures, "elf", "x64-threads.core.gz"))), { mode: 0o600 });
      chownSync(core, 1000, 1000);
      utimesSync(core, 1_763_700_000, 1_763_700_000);
      return core;
    };

    it("in file mode, takes another user's core with the one capability that the chart adds", () => {
      const core = leaveCore();
      expect(sweep("file")).toContain("1 uploaded");
      expect(stored()).toEqual([expect.stringMatching(/-dump-1763700000-web-threads-4242-11\.zip$/)]);
      expect(existsSync(core)).toBe(false);
    });

    it("in file mode, cannot without it", () => {
      const core = leaveCore();
      expect(sweep("file", [])).toContain("permission denied");
      expect(existsSync(core)).toBe(true);
    });
  },
);
