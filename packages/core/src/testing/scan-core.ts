import type { CoreFacts, ElfLimits } from "../elf/facts.ts";
import { NT_PRSTATUS } from "../elf/notes.ts";
import { readCoreFacts } from "../elf/random-access.ts";
import { ElfCoreScanner } from "../elf/scanner.ts";
import { FieldWriter, type BuiltNote } from "./core-builder.ts";

/** Scan a core in chunks whose memory is used again. */
export function scan(core: Uint8Array, chunkBytes = 65536, limits: Partial<ElfLimits> = {}): CoreFacts {
  const scanner = new ElfCoreScanner(limits);
  const chunk = new Uint8Array(chunkBytes);
  for (let at = 0; at < core.length; at += chunkBytes) {
    const piece = core.subarray(at, at + chunkBytes);
    chunk.set(piece);
    scanner.push(chunk.subarray(0, piece.length));
    // What was pushed may be reused at once.
    chunk.fill(0xaa);
  }
  return scanner.finish();
}

/** Read a core's facts by ranges; tells how many bytes that took. */
export async function readAnywhere(core: Uint8Array): Promise<{ facts: CoreFacts; bytes: number }> {
  let bytes = 0;
  const facts = await readCoreFacts(
    (offset, length) => {
      bytes += length;
      return Promise.resolve(core.subarray(offset, offset + length));
    },
    { sizeBytes: core.length },
  );
  return { facts, bytes };
}

/** An NT_PRSTATUS of a 64-bit machine with `count` registers, each holding its own index. */
export function prstatus(tid: number, count: number, cursig = 0): BuiltNote {
  const out = new FieldWriter(112 + count * 8 + 8).u16(12, cursig).u32(32, tid);
  for (let index = 0; index < count; index += 1) out.word(112 + index * 8, 0x1000 + index);
  return { name: "CORE", type: NT_PRSTATUS, desc: out.bytes };
}

/** The beginning of an NT_SIGINFO of a 64-bit machine. */
export function siginfo(number: number, code: number): FieldWriter {
  return new FieldWriter(128).u32(0, number).u32(8, code >>> 0);
}
