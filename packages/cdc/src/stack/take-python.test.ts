import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readCoreFacts } from "@cdh/core/elf/random-access";
import { holdProcess, type HeldProcess } from "./held-process.ts";
import type { StackAnswer } from "./stack-answer.ts";
import { takeMemory } from "./take-memory.ts";
import { pythonVersionOf, takePython } from "./take-python.ts";
import { walk } from "./walker.ts";

const place = mkdtempSync(join(tmpdir(), "cdh-take-python-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const SCRIPT = `import threading, time

class Cart:
    def total(self):
        return sorted([2, 1], key=lambda item: waits())

def waits():
    time.sleep(3600)

threading.Thread(target=Cart().total, daemon=True).start()
time.sleep(0.3)
print("ready", flush=True)
waits()
`;
const script = join(place, "cart.py");
writeFileSync(script, SCRIPT);

const hasGdb = ["/usr/bin/gcore", "/usr/local/bin/gcore"].some((path) => existsSync(path));
const versions = join(homedir(), ".pyenv/versions");
const interpreters = [
  "/usr/bin/python3.11",
  ...["3.11.7", "3.12.1", "3.13.0"].map((one) => join(versions, one, "bin/python3")),
];

describe.skipIf(!hasGdb)("the functions of Python on a node", () => {
  it.each(interpreters.filter((path) => existsSync(path)))(
    "are told after %s is gone",
    async (python) => {
      const child = spawn(python, [script], { stdio: ["ignore", "pipe", "ignore"] });
      const said: StackAnswer[] = [];
      let held: HeldProcess | undefined;
      try {
        await once(child.stdout, "data");
        await new Promise((resolve) => setTimeout(resolve, 200));
        child.kill("SIGSTOP");
        execFileSync("gcore", ["-o", join(place, "core"), String(child.pid)], { stdio: "pipe" });
        const core = openSync(join(place, `core.${child.pid}`), "r");
        const { size: sizeBytes } = statSync(join(place, `core.${child.pid}`));
        const read = async (offset: number, length: number): Promise<Uint8Array> => {
          const bytes = Buffer.alloc(length);
          return bytes.subarray(0, readSync(core, bytes, 0, length, offset));
        };
        const facts = await readCoreFacts(read, { sizeBytes });
        closeSync(core);
        const source = `/proc/${child.pid}`;
        const files = ["maps", "mountinfo"].map((name) => ({ name, bytes: readFileSync(join(source, name)) }));
        held = holdProcess(source, files as never);
        const { chunks } = await takeMemory(held, facts, AbortSignal.timeout(30_000));
        child.kill("SIGKILL");
        await once(child, "exit");
        expect(chunks.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThan(20 * 1024 * 1024);
        const request = { facts, files: held.files, chunks };
        await walk(request as never, (answer) => said.push(answer), { readNames: () => [] } as never);
      } finally {
        child.kill("SIGKILL");
        for (const fd of [held?.mem, ...(held?.files ?? []).map((file) => file.fd)])
          if (fd !== undefined) closeSync(fd);
      }
      const stacks = new Map(said.flatMap((one) => ("stack" in one ? [[one.tid, one.stack] as const] : [])));
      const told = [...stacks.values()].map(({ frames }) =>
        frames.flatMap(({ kind, function: name, file, line }) =>
          kind === undefined ? [] : [`${name} ${file}:${line}`],
        ),
      );
      expect(told[0]).toEqual([`waits ${script}:8`, `<module> ${script}:13`]);
      expect(told[1]?.slice(0, 3)).toEqual([
        `waits ${script}:8`,
        `Cart.total.<locals>.<lambda> ${script}:5`,
        `Cart.total ${script}:5`,
      ]);
      expect(told[1]?.length).toBe(6);
    },
    60_000,
  );
});

describe("takePython", () => {
  it.each([
    ["/usr/bin/python3.11", 11],
    ["/usr/local/lib/libpython3.12.so.1.0", 12],
    ["/opt/python3.13t (deleted)", 13],
    ["/usr/lib/libpython3.so", undefined],
    ["/usr/bin/python3.11-config", undefined],
  ])("knows the interpreter by its name: %s", (path, version) => {
    expect(pythonVersionOf(path)).toBe(version);
  });

  it("takes nothing of other programs", async () => {
    const held = { mem: 0, mappings: [], files: [], places: {}, refused: [] };
    expect(await takePython(held, { threads: [], taken: [] }, AbortSignal.timeout(1000))).toEqual([]);
  });
});
