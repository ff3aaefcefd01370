import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { putFile } from "@cdh/core/debug-files/put";
import { AUDIENCE, startWorkbench, type Workbench } from "../api/workbench.ts";
import { notBuilt } from "../helpers/built.ts";
import { programOf, residentBytes } from "../helpers/resident.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const MIB = 1024 * 1024;
const FILE_BYTES = 512 * MIB;
/** What it holds besides, with the chart's limit of 512 MiB above it. */
const GROWTH_MAX = 128 * MIB;

/** Of a header that asks for tables as large as the file, in place of 64 or 56 bytes an entry. */
const HEADERS = {
  "entries of sections": { at: 40, fields: [56, 0, 0xffff, 0xffff] },
  "entries of programs": { at: 32, fields: [0xffff, 0xffff, 64, 0] },
  "the most sections": { at: 40, fields: [56, 0, 64, 0xffff] },
};

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "cdh-api, with hostile programs in the store", () => {
  const directory = scratchDirectory("security-programs");
  let bench: Workbench;
  const ids: Record<string, string> = {};

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      prepare: async (store) => {
        for (const [at, [name, { at: offsetAt, fields }]] of Object.entries(HEADERS).entries()) {
          const header = Buffer.alloc(64);
          Buffer.from("7f454c46020101", "hex").copy(header);
          header.writeUInt16LE(3, 16);
          header.writeUInt16LE(62, 18);
          header.writeBigUInt64LE(4096n, offsetAt);
          fields.forEach((value, index) => header.writeUInt16LE(value, 54 + 2 * index));
          const file = openSync(join(directory, "sparse"), "w+");
          writeSync(file, header);
          ftruncateSync(file, FILE_BYTES);
          const read = (offset: number, length: number): Buffer => {
            const bytes = Buffer.alloc(length);
            return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
          };
          const id = { buildId: String(at + 1).repeat(40), role: "debuginfo" } as const;
          const source = { sizeBytes: FILE_BYTES, read };
          await putFile(store, { id, name: "sparse", hasCode: true, source }, { draft: join(directory, "draft") });
          closeSync(file);
          ids[name] = id.buildId;
        }
      },
    });
    bench.cluster.tokens.set("token", { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  }, 240_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it.each(Object.keys(HEADERS))(
    "is asked for a section of a file with %s",
    async (name) => {
      const pid = programOf(bench.server, "cdh-api.mjs");
      const before = residentBytes(pid, "VmHWM");
      const { status } = await bench.ask(`/buildid/${ids[name]}/section/.text`, { token: "token" });
      const grown = residentBytes(pid, "VmHWM") - before;
      process.stdout.write(`${name}: ${Math.round(grown / MIB)} MiB more\n`);
      expect(status).toBe(404);
      expect(grown).toBeLessThan(GROWTH_MAX);
    },
    120_000,
  );
});
