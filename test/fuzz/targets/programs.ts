import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { notBuilt, runBuilt, type BuiltResult, type Program } from "../../helpers/built.ts";
import { bundleRecipe, writeBundle } from "../grammar/bundle.ts";
import { coreRecipe, writeCore } from "../grammar/core.ts";
import { hostileText } from "../grammar/text.ts";
import { defineTarget, must, mustBePrintable } from "../target.ts";

const MIB = 1024 * 1024;
/** The composer's own bound; the inspector's; the uploader's limit in the chart. */
const MEMORY_MAX: Partial<Record<Program, number>> = {
  cdc: 128 * MIB,
  "cdh-inspect": 300 * MIB,
  "cdh-upload": 256 * MIB,
};
const TIME_MAX_MS = 60_000;
const OLD = new Date("2026-11-01");

const VIEWS = [["show"], ["ls"], ["threads"], ["modules"], ["bt", "--raw"], ["verify"]] as const;

/** The built programs, with a core from the kernel's side, or with a bundle that somebody laid into the spool. */
export const programsTarget = defineTarget({
  name: "programs",
  what: "cdc replay, then cdh-inspect and cdh-upload, as built: memory, time, words on the screen, nothing lost",
  recipes: fc.oneof(
    fc.record({
      kind: fc.constant("core" as const),
      core: coreRecipe,
      comm: hostileText,
      host: hostileText,
      path: hostileText,
      view: fc.constantFrom(...VIEWS),
    }),
    fc.record({ kind: fc.constant("bundle" as const), bundle: bundleRecipe, view: fc.constantFrom(...VIEWS) }),
  ),
  unavailable: () => notBuilt("cdc", "cdh-inspect", "cdh-upload"),
  build: (recipe) =>
    recipe.kind === "core"
      ? { ...recipe, bytes: writeCore(recipe.core) }
      : { ...recipe, bytes: writeBundle(recipe.bundle) },
  bytesOf: ({ bytes }) => bytes,
  run: async (input) => {
    const place = await mkdtemp(join(tmpdir(), "programs-"));
    try {
      const [spool, store] = [join(place, "spool"), join(place, "store")];
      await mkdir(spool, { mode: 0o700 });
      await mkdir(store);
      if (input.kind === "bundle") {
        const path = join(spool, `${SAMPLE_NAME}.zip`);
        await writeFile(path, input.bytes);
        // A young file without an end may still have a writer.
        await utimes(path, OLD, OLD);
      } else {
        const core = join(place, "core");
        await writeFile(core, input.bytes);
        const words = [
          `-d=${spool}`,
          "-s=11",
          ...["e", "h", "E"].map(
            (flag, index) => `-${flag}=${[input.comm, input.host, input.path][index]?.replaceAll("\0", "")}`,
          ),
        ];
        const made = await run("cdc", ["replay", core, ...words], { PATH: "/usr/bin:/bin" });
        // 3: what came was no whole core.
        must(made.exitCode === 0 || made.exitCode === 3, `cdc ended with ${made.exitCode}: ${made.stderr}`);
      }
      const bundles = (await readdir(spool)).filter((name) => name.endsWith(".zip"));
      must(bundles.length === 1, `${bundles.length} bundles`);
      const [verb, ...flags] = input.view;
      const shown = await run("cdh-inspect", [verb, join(spool, bundles[0] ?? ""), ...flags], {
        PATH: "/usr/bin:/bin",
        HOME: place,
      });
      if (input.kind === "core" && verb === "show")
        must(shown.exitCode === 0, `show ended with ${shown.exitCode}: ${shown.stderr}`);
      await run("cdh-upload", ["sweep"], { PATH: "/usr/bin:/bin", CORE_DIR: spool, STORE_URL: `file://${store}` });
      const stored = (await readdir(store, { recursive: true })).filter((name) => name.endsWith(".zip"));
      const quarantined = (await readdir(join(spool, "quarantine")).catch(() => [])).filter((name) =>
        name.endsWith(".zip"),
      );
      if (input.kind === "core")
        must(
          stored.length === 1 && quarantined.length === 0,
          `our own bundle is not in the store: ${quarantined.join(", ")}`,
        );
      const waiting = (await readdir(spool)).filter((name) => name.endsWith(".zip"));
      must(stored.length + quarantined.length + waiting.length === 1, "a bundle is gone");
    } finally {
      await rm(place, { recursive: true, force: true });
    }
  },
});

async function run(program: Program, args: readonly string[], env: Record<string, string>): Promise<BuiltResult> {
  const result = await runBuilt(program, args, { env, timeoutMs: TIME_MAX_MS });
  const what = `${program} ${args[0]}`;
  must(!result.timedOut, `${what} has not ended after ${TIME_MAX_MS / 1000} s`);
  must(result.signal === null, `${what} was ended by ${result.signal}`);
  must(!result.stderr.includes("this is a bug"), `${what}: ${result.stderr}`);
  const [memory, max] = [result.peakRssBytes ?? 0, MEMORY_MAX[program] ?? Infinity];
  must(memory <= max, `${what} took ${Math.round(memory / MIB)} MiB of memory, of ${Math.round(max / MIB)}`);
  mustBePrintable(result.stdout, `${what}'s output`);
  mustBePrintable(result.stderr, `${what}'s messages`);
  return result;
}
