import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { forgottenFileOf } from "./forgotten-files.ts";

const MODULE = fileURLToPath(new URL("forgotten-files.ts", import.meta.url));

/** Forget files in a process of its own, whose garbage is collected on demand. @returns what it printed */
async function run(work: string): Promise<{ stdout: string; status: number }> {
  const program = `
    import { open } from "node:fs/promises";
    import { ForgottenFiles } from ${JSON.stringify(MODULE)};
    const forgotten = new ForgottenFiles((path) => console.log("told " + path));
    if (process.argv[1] !== "unguarded") forgotten.watch((error) => {
      console.log("other: " + error.message);
      process.exit(9);
    });
    const forget = async (path) => void (await open(path));
    const collect = async () => {
      for (let turn = 0; turn < 4; turn += 1) {
        globalThis.gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    ${work}
    console.log("count " + forgotten.count);
  `;
  const args = ["--expose-gc", "--no-warnings", "--input-type=module", "-e", program];
  const ended = promisify(execFile)(process.execPath, args);
  return await ended.then(
    ({ stdout }) => ({ stdout, status: 0 }),
    (error: { stdout: string; code: number }) => ({ stdout: error.stdout, status: error.code }),
  );
}

it("lives on, tells each path once and counts every file", async () => {
  const { stdout, status } = await run(
    `await forget("/etc/passwd"); await forget("/etc/passwd"); await collect(); await forget("/etc/group"); await collect();`,
  );
  expect(stdout).toBe("told /etc/passwd\ntold /etc/group\ncount 3\n");
  expect(status).toBe(0);
});

it("ends for every other error", async () => {
  const { stdout, status } = await run(`setTimeout(() => { throw new Error("mine"); }, 0); await collect();`);
  expect(stdout).toBe("other: mine\n");
  expect(status).toBe(9);
});

it("would have ended without it", async () => {
  const { status } = await run(
    `process.removeAllListeners("uncaughtException"); await forget("/etc/passwd"); await collect();`,
  );
  expect(status).not.toBe(0);
});

it("knows the error by its code and its words, whatever the path holds", () => {
  const words = "A FileHandle object was closed during garbage collection. … File descriptor: 5";
  const invalid = (message: string): Error => Object.assign(new Error(message), { code: "ERR_INVALID_STATE" });
  expect(forgottenFileOf(invalid(`${words} (/a (b)\nc)`))).toBe("/a (b)\nc");
  expect(forgottenFileOf(invalid(words))).toBe("unknown");
  expect(forgottenFileOf(invalid("Invalid state: the reader is locked"))).toBeUndefined();
  expect(forgottenFileOf(new Error(words))).toBeUndefined();
});
