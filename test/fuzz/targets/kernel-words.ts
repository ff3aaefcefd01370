import * as fc from "fast-check";
import {
  renderName,
  DEFAULT_FILENAME_TEMPLATE,
  NAME_MAX_BYTES,
  NAME_VARIABLES,
  type NameVariables,
} from "@cdh/core/bundle/naming";
import { isKernelMode, parseKernelArguments } from "@cdh/core/kernel/arguments";
import { hostileText } from "../grammar/text.ts";
import { defineTarget, must } from "../target.ts";

const FLAGS = [..."PpiIugstcmFheEdTD"].flatMap((letter) => [`-${letter}`, `-${letter}=`]);
const NUMBERS = ["0", "11", "-1", "4294967296", "18446744073709551616", "1e9", "0x10", "unlimited"];
const word = fc
  .array(fc.oneof(fc.constantFrom(...FLAGS), fc.constantFrom(...NUMBERS), hostileText), { maxLength: 3 })
  .map((pieces) => pieces.join(""));

const UUID = "11112222-3333-4444-5555-666677778888";
const TRUSTED = {
  pid: 4711,
  pidInNamespace: 1,
  uid: 1000,
  signal: 11,
  timestamp: 5,
  rlimitCoreBytes: 0,
  dumpMode: 2,
} as const;

/** The kernel's line, whose last words are the crashed program's own, on kernels that split at blanks and on others. */
export const kernelWordsTarget = defineTarget({
  name: "kernel-words",
  what: "the words of core_pattern, with names that steer",
  recipes: fc.record({
    any: fc.array(word, { maxLength: 20 }),
    host: word,
    comm: word,
    path: word,
    splits: fc.boolean(),
  }),
  build: (recipe) => {
    const own = [`-h=${recipe.host}`, `-e=${recipe.comm}`, `-E=${recipe.path}`];
    return {
      any: recipe.any,
      line: [
        "-P=4711",
        "-p=1",
        "-u=1000",
        "-s=11",
        "-t=5",
        "-c=0",
        "-m=2",
        // With it the line is closed: no word that follows can be a flag that the kernel alone may set.
        "-F=",
        ...(recipe.splits ? own.join(" ").split(/ +/) : own),
      ],
      texts: [recipe.host, recipe.comm, recipe.path],
    };
  },
  run: ({ any, line, texts }) => {
    isKernelMode(any);
    for (const [key, value] of Object.entries(parseKernelArguments(any)))
      must(typeof value !== "number" || (Number.isFinite(value) && value >= 0), `${key} is ${String(value)}`);
    const crash = parseKernelArguments(line);
    for (const [key, value] of Object.entries(TRUSTED))
      must(
        crash[key as keyof typeof TRUSTED] === value,
        `${key} is ${String(crash[key as keyof typeof TRUSTED])}, of ${value}`,
      );
    must(crash.pidfd === undefined, "a name gave a pidfd");
    const variables = Object.fromEntries(
      NAME_VARIABLES.map((name, index) => [name, name === "uuid" ? UUID : (texts[index % texts.length] ?? "")]),
    ) as NameVariables;
    const { name } = renderName(DEFAULT_FILENAME_TEMPLATE, variables);
    must(Buffer.byteLength(name) <= NAME_MAX_BYTES && name !== "", `a name of ${Buffer.byteLength(name)} bytes`);
    must(name.includes(UUID), `the name ${JSON.stringify(name)} has no uuid`);
    must(!name.startsWith(".") && !/[/\\\0]/.test(name), `the name ${JSON.stringify(name)} is a path`);
  },
});
