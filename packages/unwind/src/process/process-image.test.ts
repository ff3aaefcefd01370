import { expect, it } from "vitest";
import type { CoreMachine } from "@cdh/core/elf/facts";
import { ProcessImage, type ProcessFacts } from "./process-image.ts";

/** A process with nothing but one executable segment: a stack, as old linkers ask for it. */
function imageOf(name: CoreMachine["name"]): ProcessImage {
  const facts = {
    machine: { name, elfMachine: 0, bits: 64, endian: "little" },
    modules: [],
    mappings: [],
    segments: [{ vaddr: 0x1000n, memSize: 0x1000, fileSize: 0, offset: 0, flags: 7 }],
  } as unknown as ProcessFacts;
  return new ProcessImage(facts, async () => undefined, { open: async () => undefined } as never);
}

it.each([
  ["arm64", 0x1004n, true],
  ["arm64", 0x1007n, false],
  ["x64", 0x1007n, true],
  ["arm64", 0x3004n, false],
] as const)("on %s an address of code is one where an instruction can begin: %s", async (machine, address, isCode) => {
  expect(await imageOf(machine).isCode(address)).toBe(isCode);
});
