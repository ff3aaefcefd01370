import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Readable } from "node:stream";
import { expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");
const bootstrap = path.join(root, "scripts", "bootstrap.mjs");

type Child = ChildProcessByStdio<null, Readable, Readable>;

function start(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Child {
  // Detached: its own process group without a terminal, as under a service manager.
  return spawn(process.execPath, [bootstrap, ...args], { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
}

async function finish(
  child: Child,
): Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [status, signal] = (await once(child, "close")) as [number | null, string | null];
  return { status, signal, stdout, stderr };
}

/** A child that says `ready`, counts a signal, and ends a moment after the first one. */
const COUNTER = `
  let seen = 0;
  for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => {
    seen += 1;
    if (seen === 1) setTimeout(() => { console.log(name, seen); process.exit(7); }, 300);
  });
  console.log("ready");
  setInterval(() => {}, 1000);
`;

it("passes arguments and the exit status on", async () => {
  const { status, stdout, stderr } = await finish(
    start(["--", "node", "-e", "console.log(process.argv.slice(1).join('|')); process.exit(9)", "a b", "--quiet", ""]),
  );
  expect({ status, stdout, stderr }).toEqual({ status: 9, stdout: "a b|--quiet|\n", stderr: "" });
});

it("runs commands with Node 26, whatever PATH says", async () => {
  const { stdout } = await finish(start(["--", "node", "--version"], { ...process.env, PATH: "/usr/bin:/bin" }));
  expect(stdout).toMatch(/^v26\./);
});

it.each(["SIGINT", "SIGTERM"] as const)(
  "forwards %s once, though it comes twice, and waits for the child",
  async (signal) => {
    const child = start(["--", "node", "-e", COUNTER]);
    await once(child.stdout, "data");
    child.kill(signal);
    child.kill(signal);
    const { status, stdout } = await finish(child);
    expect({ status, stdout }).toEqual({ status: 7, stdout: `${signal} 1\n` });
  },
);

it("ends by the signal that ended the child", async () => {
  const { signal } = await finish(start(["--", "node", "-e", "process.kill(process.pid, 'SIGKILL')"]));
  expect(signal).toBe("SIGKILL");
});

it.each([
  [["nonsense"], /there is no task `nonsense`\n.*hint: tasks: build, test/],
  [["--", "no-such-command-here"], /cannot run no-such-command-here: it is not on PATH/],
])("refuses %j in words", async (args, message) => {
  const { status, stderr } = await finish(start(args));
  expect(status).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/ at .*:\d+/);
});

it("is quick when nothing changed", async () => {
  const started = performance.now();
  const { stderr } = await finish(start([]));
  expect(stderr).toBe("");
  // Measured at 130 ms on two cores; the bound only catches that it installs every time.
  expect(performance.now() - started).toBeLessThan(3000);
});
