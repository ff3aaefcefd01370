import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { builtPath, notBuilt, runPath } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startDiscardingAzure, startDiscardingGcs, type DiscardingCloud } from "./discarding-clouds.ts";
import { makeMemoryGroup } from "./memory-group.ts";
import { publishSparse } from "./sparse-bundle.ts";
import { makeWorkbench } from "./workbench.ts";

const MIB = 1024 ** 2;
const GB = 1000 ** 3;
const LIMIT_MIB = 128;
/** The size of the requirement takes minutes: by choice only. */
const isBig = process.env["CDH_BIG"] === "1";
const coreBytes = isBig ? 10 * GB : GB / 2;

interface Cloud {
  name: string;
  start: () => Promise<DiscardingCloud>;
  /** What stands before the keys of its objects here. */
  prefix: string;
  /** Size of what is sent, and hashed, at once. */
  pieceBytes: number;
}

const CLOUDS: readonly Cloud[] = [
  { name: "Azure Blob Storage", start: startDiscardingAzure, prefix: "/account/cores/", pieceBytes: 8 * MIB },
  { name: "Google Cloud Storage", start: startDiscardingGcs, prefix: "", pieceBytes: Number.MAX_SAFE_INTEGER },
];

/** MD5 of each piece of a file, base64. */
async function md5sOf(path: string, pieceBytes: number): Promise<string[]> {
  const sums: string[] = [];
  let md5 = createHash("md5");
  let filled = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) {
    let rest = chunk as Buffer;
    while (rest.length > 0) {
      const taken = rest.subarray(0, pieceBytes - filled);
      md5.update(taken);
      filled += taken.length;
      rest = rest.subarray(taken.length);
      if (filled < pieceBytes) continue;
      sums.push(md5.digest("base64"));
      md5 = createHash("md5");
      filled = 0;
    }
  }
  if (filled > 0) sums.push(md5.digest("base64"));
  return sums;
}

describeUnless(notBuilt("cdh-upload"), "cdh-upload to Azure and Google in little memory", () => {
  it.for(CLOUDS)(
    `$name takes a bundle of ${coreBytes / GB} GB with default settings from a control group of ${LIMIT_MIB} MiB`,
    { timeout: isBig ? 1_800_000 : 300_000 },
    async ({ name, start, prefix, pieceBytes }, context) => {
      const group = makeMemoryGroup(context, LIMIT_MIB * MIB);
      await using cloud = await start();
      await using work = await makeWorkbench({ ...cloud.env, HOME: "/nonexistent" });
      const bundle = await publishSparse(work.coreDir, coreBytes);
      const expected = await md5sOf(join(work.coreDir, bundle.fileName), pieceBytes);
      const command = `echo $$ > ${group.path}/cgroup.procs && exec ${builtPath("cdh-upload")} sweep -o json`;
      const result = await runPath("/bin/sh", ["-c", command], { env: work.env, timeoutMs: 1_500_000 });
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      expect(group.kills()).toBe(0);
      const peakMib = (result.peakRssBytes ?? Number.POSITIVE_INFINITY) / MIB;
      if (isBig)
        process.stderr.write(
          `${name}: ${coreBytes} bytes in ${result.durationMs} ms, peak ${peakMib.toFixed(1)} MiB\n`,
        );
      expect(peakMib).toBeLessThan(LIMIT_MIB);
      const there = cloud.objects.get(`${prefix}_host/${bundle.fileName}`);
      expect(there?.sizeBytes).toBe(bundle.sizeBytes);
      expect(there?.md5s).toEqual(expected);
      expect(await work.spool()).toEqual([]);
    },
  );
});
