import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeWorkbench } from "./workbench.ts";

/** Where the code of each cloud begins, in one of the program's files. */
const MARKS = {
  s3: ["S3Client = class extends Client", "S3Store = class"],
  azure: ["BlobServiceClient = class", "AzureStore = class"],
  gcs: [".GoogleAuth = GoogleAuth", "GcsStore = class"],
};
type Cloud = keyof typeof MARKS;

const KEY = Buffer.alloc(64).toString("base64");
const STORES: [used: Cloud | undefined, env: Record<string, string>][] = [
  [undefined, {}],
  ["s3", { STORE_URL: "s3://cores", S3_ACCESS_KEY: "a", S3_SECRET: "b", S3_ENDPOINT: "http://127.0.0.1:9" }],
  [
    "azure",
    { STORE_URL: "azblob://cores", AZURE_STORAGE_ENDPOINT: "http://127.0.0.1:9/account", AZURE_STORAGE_KEY: KEY },
  ],
  ["gcs", { STORE_URL: "gs://cores", STORAGE_EMULATOR_HOST: "http://127.0.0.1:9" }],
];

interface Coverage {
  result: { url: string; functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[] }[];
}

/** Tell from V8's own count whether the code at an offset ran: the narrowest range around it says. */
function ran(coverage: Coverage["result"][number], offset: number): boolean {
  const around = coverage.functions
    .flatMap(({ ranges }) => ranges)
    .filter(({ startOffset, endOffset }) => startOffset <= offset && offset < endOffset)
    .toSorted((a, b) => a.endOffset - a.startOffset - (b.endOffset - b.startOffset));
  return (around[0]?.count ?? 0) > 0;
}

/** The files of a program: itself, and its parts. */
function filesOf(program: string): string[] {
  const parts = join(REPOSITORY, `dist/lib/${program}.parts`);
  return [join(REPOSITORY, `dist/lib/${program}.mjs`), ...readdirSync(parts).map((name) => join(parts, name))];
}

describeUnless(notBuilt("cdh-upload", "cdh-api", "cdh-inspect"), "the libraries of the clouds", () => {
  it.each(STORES)("are not made but by whoever uses that cloud (%s)", async (used, env) => {
    await using work = await makeWorkbench({ STORE_TIMEOUT: "1s", ...env });
    work.env["STORE_URL"] ??= `file://${join(work.directory, "store")}`;
    await work.publish();
    const coverageDir = join(work.directory, "coverage");
    await runBuilt("cdh-upload", ["sweep"], { env: { ...work.env, NODE_V8_COVERAGE: coverageDir } });
    const counted = readdirSync(coverageDir).flatMap(
      (name) => (JSON.parse(readFileSync(join(coverageDir, name), "utf8")) as Coverage).result,
    );
    const texts = filesOf("cdh-upload").map((path) => ({ path, text: readFileSync(path, "utf8") }));
    for (const [cloud, marks] of Object.entries(MARKS)) {
      for (const mark of marks) {
        const holders = texts.filter(({ text }) => text.includes(mark));
        expect(holders, mark).toHaveLength(1);
        const [{ path, text }] = holders as [(typeof texts)[number]];
        const file = counted.find(({ url }) => url.endsWith(path));
        expect([mark, file !== undefined && ran(file, text.indexOf(mark))]).toEqual([mark, cloud === used]);
        // Not even read: V8 reads every character of a file that is imported.
        if (cloud !== used) expect(file?.url, `${mark} was read`).toBeUndefined();
      }
    }
  });

  it("add no more than 15 MB to the image, all programs together", () => {
    const added =
      /^\/\/ node_modules\/\.pnpm\/(@azure|@typespec|apache-arrow|google-auth-library|gaxios|gcp-metadata|gtoken|google-logging-utils|json-bigint|bignumber\.js|node-fetch|web-streams-polyfill|fetch-blob|formdata-polyfill|jws|jwa|jsonwebtoken|semver|flatbuffers|events|extend)\b|^\/\/ packages\/core\/src\/store\/(azure|gcs)\//;
    let bytes = 0;
    for (const name of ["cdh-upload", "cdh-api", "cdh-inspect"]) {
      let own = 0;
      let all = 0;
      for (const path of filesOf(name)) {
        all += statSync(path).size;
        let isAdded = false;
        for (const line of readFileSync(path, "utf8").split("\n")) {
          if (/^\/\/ (node_modules|packages)\//.test(line)) isAdded = added.test(line);
          if (isAdded) own += Buffer.byteLength(line) + 1;
        }
      }
      // Marks that are not found would add nothing.
      expect(own, name).toBeGreaterThan(1_000_000);
      expect(own).toBeLessThan(all);
      bytes += own;
    }
    process.stderr.write(`Azure's and Google's libraries: ${(bytes / 1e6).toFixed(1)} MB in three programs\n`);
    expect(bytes).toBeLessThan(15e6);
  });
});
