import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { containerOf, envOf, render, STORE } from "../chart/helm.ts";

/** The programs in the image. */
export const PROGRAMS = ["cdc", "cdh-api", "cdh-inspect", "cdh-sysctl", "cdh-upload"] as const;
const HOME = "opt/core-dump-handler";
const MAX_BYTES = 320 * 1024 * 1024;
/** In a mount namespace of its own, from which nothing is propagated. */
const MOUNT_NODE =
  'mkdir -p "$0/host" && mount --rbind / "$0/host" && mount --bind /proc "$0/proc" && exec chroot "$0" "$@"';

/**
 * Check an image's file system: what runs in it, and what is not there.
 * @param root gives its directory, asked for in each test; it has an empty `proc`
 */
export function checkImage(root: () => string): void {
  /** Run a command on that root, with /proc, as a container has it. */
  const runIn = (...command: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      "unshare",
      ["--mount", "sh", "-c", 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"', root(), ...command],
      { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "" } },
    );
  /** Run what a container of the chart runs, with its environment, and the node's root where the chart mounts it. */
  const runContainer = (name: string, ...more: string[]): { status: number | null; stdout: string; stderr: string } => {
    const container = containerOf(render(STORE), name);
    return spawnSync(
      "unshare",
      ["--mount", "sh", "-c", MOUNT_NODE, root(), ...(container.command?.slice(0, -1) ?? []), ...more],
      { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "", ...envOf(container) } },
    );
  };
  const files = (): string[] =>
    readdirSync(root(), { recursive: true, encoding: "utf8" }).filter(
      (name) => !/^(proc|host)(\/|$)/.test(name) && statSync(join(root(), name)).isFile(),
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
      expect(existsSync(join(root(), program)), program).toBe(true);
    }
    expect(existsSync(join(root(), HOME, "node/bin/node"))).toBe(true);
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

  it("has no shell, no package manager, no setuid program, and a license for what it has", () => {
    const names = files();
    expect(names.filter((name) => /\/(apt|dpkg|perl|npm|pnpm|bun|curl|sh|bash|dash|busybox)$/.test(name))).toEqual([]);
    expect(names.filter((name) => (statSync(join(root(), name)).mode & 0o6000) !== 0)).toEqual([]);
    expect(names.filter((name) => /^(usr\/)?s?bin\//.test(name)).sort()).toEqual(["usr/sbin/chroot"]);
    expect(names).toContain("usr/share/doc/libc6/copyright");
    expect(names).toContain(`${HOME}/LICENSE`);
  });

  it("is small, and says what it is made of", () => {
    const bytes = files().reduce((sum, name) => sum + statSync(join(root(), name)).size, 0);
    expect(bytes).toBeLessThan(MAX_BYTES);
    const sbom = JSON.parse(readFileSync(join(root(), HOME, "sbom.cdx.json"), "utf8")) as {
      components: { purl: string }[];
    };
    const purls = sbom.components.map(({ purl }) => purl);
    expect(purls.some((purl) => purl.startsWith("pkg:deb/debian/libc6@2.36"))).toBe(true);
    expect(purls.filter((purl) => purl.startsWith("pkg:npm/")).length).toBeGreaterThan(10);
    expect(purls.filter((purl) => purl.startsWith("pkg:generic/"))).toHaveLength(2);
  });
}
