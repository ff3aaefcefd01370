import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, render, STORE } from "../chart/helm.ts";

const PROGRAMS = ["cdc", "cdh-inspect", "cdh-sysctl", "cdh-upload"] as const;
const HOME = "opt/core-dump-handler";
const MAX_BYTES = 320 * 1024 * 1024;
const ownLoader = existsSync(join(REPOSITORY, "dist/bin/lib"));
const reason =
  notBuilt(...PROGRAMS) ??
  (process.geteuid?.() === 0 ? undefined : "not root") ??
  (existsSync("/etc/debian_version") && ownLoader ? undefined : "this machine's files are not Debian's") ??
  missingTools("unshare", "helm");

/** In a mount namespace of its own, from which nothing is propagated. */
const MOUNT_NODE =
  'mkdir -p "$0/host" && mount --rbind / "$0/host" && mount --bind /proc "$0/proc" && exec chroot "$0" "$@"';

describeUnless(reason, "the image's file system, assembled from this machine's Debian", () => {
  let image: string;
  beforeAll(() => {
    image = mkdtempSync(join(tmpdir(), "cdh-image-"));
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(REPOSITORY, "scripts/image/assemble.ts"), "--debian=/", `--out=${image}`, "--packages=libc6=2.36"],
      { encoding: "utf8" },
    );
    if (status !== 0 || stderr !== "") throw new Error(`assemble.ts ended with ${String(status)}: ${stderr}`);
    mkdirSync(join(image, "proc"));
  });
  afterAll(() => rmSync(image, { recursive: true, force: true }));

  /** Run a command on that root, with /proc, as a container has it. */
  const runIn = (...command: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      "unshare",
      ["--mount", "sh", "-c", 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"', image, ...command],
      { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "" } },
    );
  /** Run what a container of the chart runs, with its environment, and the node's root where the chart mounts it. */
  const runContainer = (name: string, ...more: string[]): { status: number | null; stdout: string; stderr: string } => {
    const container = containerOf(render(STORE), name);
    return spawnSync(
      "unshare",
      ["--mount", "sh", "-c", MOUNT_NODE, image, ...(container.command?.slice(0, -1) ?? []), ...more],
      { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "", ...envOf(container) } },
    );
  };
  const files = (): string[] =>
    readdirSync(image, { recursive: true, encoding: "utf8" }).filter(
      (name) => !/^(proc|host)(\/|$)/.test(name) && statSync(join(image, name)).isFile(),
    );

  it.each(PROGRAMS)("%s runs there", (program) => {
    expect(runIn(`/${HOME}/entrypoint`, program, "--version")).toMatchObject({
      status: 0,
      stdout: "0.1.0\n",
      stderr: "",
    });
  });

  it("the composer passes its self-test there", () => {
    expect(runIn(`/${HOME}/bin/cdc`, "--self-test").status).toBe(0);
  });

  it("gives help for anything else", () => {
    expect(runIn(`/${HOME}/entrypoint`, "nonsense")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("cdh-upload    run, sweep, check") as string,
    });
  });

  it("has chroot(1), for the self-test on a node", () => {
    expect(runIn("/usr/sbin/chroot", "/", `/${HOME}/bin/cdh-upload`, "--version").stdout).toBe("0.1.0\n");
  });

  it("has what the chart starts", () => {
    for (const name of ["node", "upload"]) {
      const [program = ""] = containerOf(render(STORE), name).command ?? [];
      expect(existsSync(join(image, program)), program).toBe(true);
    }
    expect(existsSync(join(image, HOME, "node/bin/node"))).toBe(true);
  });

  it("plans the install of a node with what the chart gives to its privileged container", () => {
    const { stdout, stderr, status } = runContainer("node", "install", "--dry-run", "-o", "json");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const { plan, hostDir, coreDir } = JSON.parse(stdout) as {
      plan: { id: string }[];
      hostDir: string;
      coreDir: string;
    };
    expect([hostDir, coreDir]).toEqual(["/var/mnt/core-dump-handler", "/var/mnt/core-dump-handler/cores"]);
    expect(plan.map(({ id }) => id)).toEqual(expect.arrayContaining(["set-core_pattern"]));
  });

  it("takes the settings that the chart gives to the uploader", () => {
    const { stdout, status } = runContainer("upload", "run", "--print-config");
    expect(status).toBe(0);
    expect(stdout).toMatch(/STORE_URL +s3:\/\/cores\/prod +environment/);
  });

  it("has no package manager, no setuid program, and a license for what it has", () => {
    const names = files();
    expect(names.filter((name) => /(apt|dpkg|perl|npm|pnpm|bun|curl)$/.test(name))).toEqual([]);
    expect(names.filter((name) => (statSync(join(image, name)).mode & 0o6000) !== 0)).toEqual([]);
    expect(names.filter((name) => /^(usr\/)?s?bin\//.test(name)).sort()).toEqual(["bin/sh", "usr/sbin/chroot"]);
    expect(names).toContain("usr/share/doc/libc6/copyright");
    expect(names).toContain(`${HOME}/LICENSE`);
  });

  it("is small, and says what it is made of", () => {
    const bytes = files().reduce((sum, name) => sum + statSync(join(image, name)).size, 0);
    expect(bytes).toBeLessThan(MAX_BYTES);
    const sbom = JSON.parse(readFileSync(join(image, HOME, "sbom.cdx.json"), "utf8")) as {
      components: { purl: string }[];
    };
    const purls = sbom.components.map(({ purl }) => purl);
    expect(purls).toContain("pkg:deb/debian/libc6@2.36");
    expect(purls.filter((purl) => purl.startsWith("pkg:npm/")).length).toBeGreaterThan(10);
    expect(purls.filter((purl) => purl.startsWith("pkg:generic/"))).toHaveLength(2);
  });
});
