import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { holdKernel } from "./kernel-state.ts";
import { runCrash } from "./run-crash.ts";
import { argumentsIn, STACK_PROGRAMS, stackProgramUnavailable, type StackProgram } from "./stack-programs.ts";

/** A program that has crashed, and its core. */
export interface StackCore {
  of: StackProgram;
  core: string;
  program: string;
  twin: string | undefined;
}

/** What could not be had, and why. */
export interface MissingCore {
  name: string;
  reason: string;
}

/**
 * Build all programs, then crash them one after the other, with the kernel's settings held only for that.
 * @param folder where programs and cores are put
 */
export async function makeStackCores(folder: string): Promise<{ cores: StackCore[]; missing: MissingCore[] }> {
  const missing: MissingCore[] = [];
  const built: (Omit<StackCore, "core"> & { of: StackProgram })[] = [];
  for (const of of STACK_PROGRAMS) {
    const reason = stackProgramUnavailable(of);
    if (reason !== undefined) missing.push({ name: of.name, reason });
    else {
      const { program, twin } = of.build(folder);
      built.push({ of, program, twin });
    }
  }
  const place = join(folder, "cores");
  mkdirSync(place, { recursive: true });
  const cores: StackCore[] = [];
  await using hold = await holdKernel();
  hold.set({ corePattern: join(place, "%p.core") });
  for (const one of built) {
    const { env = {} } = one.of;
    // What a runtime writes beside its core goes there too.
    const { pid, coreDumped } = await runCrash(one.program, argumentsIn(one.of, folder), { env, cwd: place });
    if (!coreDumped) throw new Error(`${one.of.name} dumped no core`);
    cores.push({ ...one, core: join(place, `${pid}.core`) });
  }
  return { cores, missing };
}
