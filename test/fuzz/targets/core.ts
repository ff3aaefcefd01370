import { describeModules, describeSignal, describeThreads } from "@cdh/core/bundle/manifest-from-core";
import { readCoreFacts } from "@cdh/core/elf/random-access";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import { coreRecipe, writeCore } from "../grammar/core.ts";
import { defineTarget, must } from "../target.ts";

/** Cores: as they stream past, and read at random. */
export const coreTarget = defineTarget({
  name: "core",
  what: "ELF cores: notes, modules, threads and segments, repeated, nested, one too many, lying",
  recipes: coreRecipe,
  build: writeCore,
  bytesOf: (core) => core,
  run: async (core) => {
    const scanner = new ElfCoreScanner();
    for (let at = 0; at < core.length; at += 65_536) scanner.push(core.subarray(at, at + 65_536));
    const facts = scanner.finish();
    must(facts.receivedBytes === core.length, "bytes were not counted");
    must(!facts.complete || (facts.expectedBytes ?? Infinity) <= core.length, "a cut core is told whole");
    must(facts.threads.length <= facts.threadCount && facts.problems.length <= 32, "lists without a bound");
    for (const { buildId } of facts.modules)
      must(buildId === undefined || /^(?:[0-9a-f]{2}){1,64}$/.test(buildId), `build-id ${buildId}`);
    describeSignal(undefined, facts);
    describeThreads(facts);
    describeModules(facts);
    let reads = 0;
    await readCoreFacts(
      (offset, length) => {
        reads += 1;
        return Promise.resolve(core.subarray(offset, offset + length));
      },
      { sizeBytes: core.length },
    );
    must(reads < 20_000, `${reads} reads`);
  },
});
