import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { ThreadFacts } from "@cdh/core/bundle/manifest";
import { arm64CompilerUnavailable, makeArm64Root } from "../helpers/arm64-programs.ts";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { readNotesWithElfutils } from "../helpers/core-readers.ts";
import { askGdb } from "../helpers/gdb-stacks.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findOnPath, missingTools } from "../helpers/tools.ts";

const EMULATOR = ["qemu-aarch64", "qemu-aarch64-static"]
  .map((name) => findOnPath(name).path)
  .find((path) => path !== undefined);

/** qemu's user emulation writes the core of a program that it runs, without NT_FILE: nothing says what is mapped where. */
describeUnless(
  (EMULATOR === undefined ? "qemu-aarch64 is not on this machine" : undefined) ??
    arm64CompilerUnavailable() ??
    notBuilt("cdh-inspect") ??
    missingTools("gdb-multiarch", "eu-readelf"),
  "an arm64 core that qemu's user emulation wrote",
  () => {
    const scratch = scratchDirectory("arm64");
    const root = join(scratch, "root");
    let core: string;

    beforeAll(() => {
      makeArm64Root(root, ["framed"]);
      const place = join(scratch, "core");
      mkdirSync(place);
      try {
        execFileSync(
          "sh",
          ["-c", `ulimit -c unlimited; exec "$@"`, "sh", EMULATOR ?? "", "-L", root, join(root, "app/framed"), "deep"],
          {
            cwd: place,
            stdio: "pipe",
          },
        );
      } catch {
        // It crashes, which is what is wanted.
      }
      core = join(place, readdirSync(place).find((name) => name.endsWith(".core")) ?? "no core");
    }, 60_000);

    it("has the threads and registers that elfutils reads", async () => {
      const notes = readNotesWithElfutils(core);
      const result = await runBuilt("cdh-inspect", ["threads", "-o", "json", core]);
      expect(outcomeOf(result)).toBe("exit 0");
      const { threads } = JSON.parse(result.stdout) as { threads: ThreadFacts[] };
      expect(threads).toHaveLength(6);
      expect(
        threads.map(({ tid, registers }) => [tid, BigInt(registers["pc"] ?? -1), BigInt(registers["sp"] ?? -1)]),
      ).toEqual(notes.threads.map(({ tid, registers }) => [tid, registers["pc"], registers["sp"]]));
      expect(threads.map(({ registers }) => Object.keys(registers).length)).toEqual([34, 2, 2, 2, 2, 2]);
    });

    it("is walked as gdb walks it, although it lists no files", async () => {
      const result = await runBuilt("cdh-inspect", ["bt", "--raw", "-o", "json", core]);
      const { threads } = JSON.parse(result.stdout) as { threads: RawThread[] };
      const frames = threads[0]?.frames ?? [];
      const programHeaders = /PHDR: (0x[0-9a-f]+)/.exec(
        execFileSync("eu-readelf", ["-n", core], { encoding: "utf8" }),
      )?.[1];
      const said = askGdb("gdb-multiarch", {
        core,
        commands: [
          `add-symbol-file ${join(root, "app/framed")} -o ${hex(BigInt(programHeaders ?? 0) - 0x40n)}`,
          "set print frame-info location-and-address",
          "backtrace",
        ],
      });
      const theirs = [...said.matchAll(/^#\d+ +(0x[0-9a-f]+) in (step_\w+|main)/gm)];
      expect(theirs.map(([, , name]) => name)).toEqual([
        "step_five",
        "step_four",
        "step_three",
        "step_two",
        "step_one",
        "main",
      ]);
      const pcs = frames.filter(({ byLinkRegister }) => byLinkRegister !== true).map(({ pc }) => pc);
      expect(pcs.slice(0, 6)).toEqual(theirs.map(([, pc]) => hex(BigInt(pc ?? 0))));
    });
  },
);

interface RawThread {
  tid: number;
  frames: { pc: string; byLinkRegister?: true }[];
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
