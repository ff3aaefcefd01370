import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { startRetentionCluster } from "./retention-cluster.ts";
import { fillDirectory, leftIn } from "./retention-store.ts";

const DAY = 86_400_000;
const scratch = scratchDirectory("retention-serve");

describeUnless(notBuilt("cdh-api"), "two pods of cdh-api serve", () => {
  /** Start one, on ports of its own. */
  const start = (
    name: string,
    env: Record<string, string>,
  ): TiedChild & { name: string; metrics(): Promise<string> } => {
    const child = startTied(builtPath("cdh-api"), ["serve"], { env: { ...env, POD_NAME: name } });
    const metrics = async (): Promise<string> => {
      const port = /"serving metrics and probes".*?"port":(\d+)/.exec(child.output())?.[1];
      if (port === undefined) return "";
      return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    };
    return Object.assign(child, { name, metrics });
  };

  it(
    "one removes; when it is killed in the middle, the other goes on and leaves nothing half",
    { timeout: 150_000 },
    async () => {
      await using cluster = await startRetentionCluster();
      const directory = mkdtempSync(join(scratch, "store-"));
      const samples = Array.from({ length: 60 }, (_, index) => ({
        name: `old-${index}`,
        namespace: "shop",
        ageMs: 40 * DAY,
      }));
      const store = await fillDirectory(directory, [
        ...samples,
        { name: "new", namespace: "shop" },
        { name: "uploading", namespace: "shop", ageMs: 40 * DAY, without: "manifest" },
      ]);
      const env = {
        ...cluster.env,
        LISTEN_ADDR: "127.0.0.1:0",
        METRICS_ADDR: "127.0.0.1:0",
        TLS_CERT_FILE: join(cluster.access.directory, "ca.crt"),
        TLS_KEY_FILE: join(cluster.access.directory, "ca.key"),
        FRONT_PROXY: "false",
        STORE_URL: `file://${directory}`,
        LOG_FORMAT: "json",
        RETENTION: "true",
        RETENTION_MAX_AGE: "30d",
        RETENTION_RATE: "10",
        RETENTION_INTERVAL: "1s",
        LEASE_DURATION: "6s",
      };
      await using first = start("first", env);
      const removedBy = (child: TiedChild): number => child.output().split('"removed a bundle"').length - 1;
      await expect.poll(() => removedBy(first), { timeout: 30_000 }).toBeGreaterThan(5);
      await using second = start("second", env);
      await expect.poll(() => second.metrics(), { timeout: 30_000 }).toContain("\ncdh_retention_leader 0\n");
      await first.stop("KILL");
      const before = (await leftIn(store)).length;
      expect(before).toBeGreaterThan(3);

      const left = ["shop/new.manifest.json", "shop/new.zip", "shop/uploading.zip"];
      await expect.poll(() => leftIn(store), { timeout: 60_000 }).toEqual(left);
      await expect
        .poll(() => second.metrics(), { timeout: 30_000 })
        .toMatch(/\ncdh_retention_leader 1\n[^]*\ncdh_retention_due_bundles 0\n/);
      expect(await second.metrics()).toContain('cdh_retention_kept_bundles{reason="noManifest"} 1');
      // The one that died may have taken its last words with it.
      expect(removedBy(first) + removedBy(second)).toBeGreaterThanOrEqual(samples.length - 1);
      await second.stop("TERM");
      expect(await second.ended).toBe(0);
      // Stopped in order it gives the Lease back.
      expect(cluster.leases.get("core-dump-handler-retention")?.spec.holderIdentity).toBe("");
    },
  );

  it("neither starts with limits that are missing", async () => {
    await using cluster = await startRetentionCluster();
    const env = { ...cluster.env, STORE_URL: `file://${scratch}`, RETENTION: "true" };
    await using child = start("a", env);
    expect(await child.ended).toBe(10);
    expect(child.output()).toContain("no setting says what may be removed");
  });
});
