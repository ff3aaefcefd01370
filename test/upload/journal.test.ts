import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeWorkbench } from "./workbench.ts";

const UID = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const VICTIM_UID = "9b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d99";
const [ID, VICTIM_ID] = ["a".repeat(64), "f".repeat(64)];
const FORGED = `core.sleep.1000.${"0".repeat(32)}.4711.1764000000000000`;
const PROGRAMS = ["/lib/systemd/systemd-journald", "/lib/systemd/systemd-coredump"];

/** Where a tree of cgroups of version 2 is, that no systemd looks after. */
function findCgroups(): string | { reason: string } {
  if (process.getuid?.() !== 0) return { reason: "only root can lay out cgroups" };
  if (readFileSync("/proc/1/comm", "utf8").trim() === "systemd")
    return { reason: "the cgroups here are systemd's own" };
  const found = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) =>
    existsSync(join(path, "cgroup.controllers")),
  );
  return found ?? { reason: "no cgroups of version 2 here" };
}

const cgroups = findCgroups();
const missing = PROGRAMS.filter((path) => !existsSync(path));
const reason =
  notBuilt("cdh-upload") ??
  missingTools("journalctl", "systemd-socket-activate", "unshare", "logger") ??
  (missing.length === 0 ? undefined : `${missing.join(", ")} not here (Debian: systemd, systemd-coredump)`) ??
  (typeof cgroups === "string" ? undefined : cgroups.reason);

describeUnless(reason, "cores of the real systemd-coredump", () => {
  let directory: string;
  let own: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "cdh-journal-"));
    const core = join(directory, "core");
    await writeFile(core, gunzipSync(readFileSync(join(REPOSITORY, "test/fixtures/elf/x64-threads.core.gz"))));
    const words = [
      directory,
      core,
      FORGED,
      String(cgroups),
      `kubepods/besteffort/pod${UID}/${ID}`,
      `kubepods/burstable/pod${VICTIM_UID}/${VICTIM_ID}`,
    ];
    const script = join(REPOSITORY, "test/upload/journal.sh");
    const { stdout } = await promisify(execFile)("unshare", ["--mount", "bash", script, ...words]);
    own = stdout.trim();
    const pods = join(directory, "host/var/log/pods");
    await mkdir(join(pods, `shop_web-0_${UID}`), { recursive: true });
    await mkdir(join(pods, `bank_vault-0_${VICTIM_UID}`), { recursive: true });
  }, 120_000);

  afterAll(() => rm(directory, { recursive: true, force: true }));

  /** Send what lies in systemd-coredump's directory. @returns the manifests in the store, by the core's pid */
  async function send(env: Record<string, string> = {}): Promise<{ manifests: Manifest[]; said: string }> {
    const store = await mkdtemp(join(directory, "store-"));
    await using bench = await makeWorkbench({ STORE_URL: `file://${store}` });
    const result = await bench.sweep(["-o", "table"], {
      SYSTEMD_COREDUMP_DIR: join(directory, "coredump"),
      JOURNAL_DIRECTORY: join(directory, "journal"),
      HOST_ROOT: join(directory, "host"),
      ...env,
    });
    const names = (await readdir(store, { recursive: true })).filter((name) => name.endsWith(".manifest.json"));
    const texts = await Promise.all(names.map((name) => readFile(join(store, name), "utf8")));
    return { manifests: texts.map((text) => JSON.parse(text) as Manifest), said: result.stdout + result.stderr };
  }

  async function age(): Promise<void> {
    const old = new Date(Date.now() - 60_000);
    for (const name of await readdir(join(directory, "coredump")))
      await utimes(join(directory, "coredump", name), old, old);
  }

  it("that are young are told as waiting", async () => {
    const now = new Date();
    await utimes(join(directory, "coredump", own), now, now);
    await utimes(join(directory, "coredump", FORGED), now, now);
    const { manifests, said } = await send();
    expect(manifests).toEqual([]);
    expect(said).toContain("2 cores wait until nobody writes to them any more");
  });

  it("belong to the pod whose cgroup systemd-coredump itself wrote down, whatever others write", async () => {
    await age();
    const { manifests } = await send();
    expect(manifests).toHaveLength(2);
    const [mine] = manifests.filter(({ identity }) => identity?.verified === true);
    expect(mine).toMatchObject({
      pod: { name: "web-0", namespace: "shop", uid: UID },
      container: { id: ID },
      identity: { source: "kubelet", verified: true },
    });
    // Of the other one only the host name speaks, in its attributes.
    const [forged] = manifests.filter((manifest) => manifest !== mine);
    expect(forged?.pod?.uid).not.toBe(VICTIM_UID);
    expect(forged?.identity?.verified).toBe(false);
    expect(forged?.problems).toContainEqual(expect.objectContaining({ code: "CDH_JOURNAL_RECORD" }));
  });

  it("are read by the node's own journalctl, where the node's programs are mounted", async () => {
    await age();
    await symlink("/usr", join(directory, "host/usr"));
    const { manifests } = await send({ PATH: "/nowhere" });
    expect(manifests.find(({ identity }) => identity?.verified === true)?.container?.id).toBe(ID);
  });

  it("are attributed by the host name alone, unverified, where there is no journal", async () => {
    await age();
    const { manifests } = await send({ JOURNAL_DIRECTORY: join(directory, "nowhere") });
    expect(manifests.find(({ process }) => process.hostname === "web-0")).toMatchObject({
      pod: { name: "web-0", namespace: "shop" },
      identity: { source: "hostname", verified: false },
    });
    for (const manifest of manifests)
      expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_JOURNAL_RECORD" }));
  });

  it("come without a pod where journalctl is missing, and say so", async () => {
    await age();
    const { manifests } = await send({ JOURNALCTL: "/nowhere/journalctl", HOST_ROOT: join(directory, "nowhere") });
    expect(manifests).toHaveLength(2);
    for (const { identity, problems } of manifests) {
      expect(identity).toEqual({ source: "none", verified: false });
      expect(problems.find(({ code }) => code === "CDH_JOURNAL_RECORD")?.detail).toContain("/nowhere/journalctl");
    }
  });
});
