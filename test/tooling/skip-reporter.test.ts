import { execFile } from "node:child_process";
import fs from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");

let folder: string;

beforeAll(async () => {
  // Below the checkout, so that `vitest` and the helper can be imported.
  await fs.mkdir(path.join(root, ".cache"), { recursive: true });
  folder = await fs.mkdtemp(path.join(root, ".cache", "skip-reporter-"));
});

afterAll(async () => {
  await fs.rm(folder, { recursive: true, force: true });
});

const IMPORTS = `
import { beforeAll, describe, expect, it, test } from "vitest";
import { describeUnless, skipAloud } from ${JSON.stringify(path.join(root, "test", "helpers", "skip.ts"))};
`;

/** Run vitest with only our reporter on one test file. */
async function runTests(name: string, body: string): Promise<{ status: number; output: string; totals: unknown }> {
  const home = path.join(folder, name);
  await fs.mkdir(home);
  await fs.writeFile(path.join(home, "some.test.ts"), IMPORTS + body);
  const reporter = path.join(root, "scripts", "skip-reporter.ts");
  await fs.writeFile(
    path.join(home, "vitest.config.ts"),
    `export default { test: { reporters: [${JSON.stringify(reporter)}], allowOnly: true } };`,
  );
  const totalsFile = path.join(home, "totals.json");
  const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs");
  const { status, output } = await new Promise<{ status: number; output: string }>((resolve) => {
    execFile(
      process.execPath,
      [vitest, "run", "--root", home],
      { env: { PATH: process.env["PATH"], TEST_TOTALS_FILE: totalsFile, NO_COLOR: "1" } },
      (error, stdout, stderr) => resolve({ status: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
  return { status, output, totals: JSON.parse(await fs.readFile(totalsFile, "utf8")) };
}

it("lists a skip with its reason and lets the run pass", async () => {
  const { status, output, totals } = await runTests(
    "aloud",
    `test("passes", () => { expect(1).toBe(1); });
     test("left out", (context) => { skipAloud(context, "no such kernel"); });
     describeUnless("gdb is not on this machine", "a whole suite", () => { test("in it", () => { throw new Error("ran"); }); });`,
  );
  expect(totals).toEqual({ passed: 1, failed: 0, skipped: 2 });
  expect(output).toMatch(/skipped: no such kernel \(1\)\n {2}some.test.ts > left out/);
  expect(output).toMatch(/skipped: gdb is not on this machine \(1\)\n {2}some.test.ts > a whole suite/);
  expect(status).toBe(0);
});

it("names a test that passed only at the second try", async () => {
  const { status, output, totals } = await runTests(
    "unsteady",
    `let tries = 0;
     test("steady", { retry: 1 }, () => {});
     test("shaky", { retry: 1 }, () => { tries += 1; expect(tries, "the try").toBe(2); });`,
  );
  expect(totals).toEqual({ passed: 2, failed: 0, skipped: 0 });
  expect(output).toMatch(/second try \(1\)\n {2}some.test.ts > shaky: the try: expected 1 to be 2/);
  expect(status).toBe(0);
});

it.each([
  [
    "a skip without a reason",
    `test("x", () => {}); test.skip("silent", () => {});`,
    { passed: 1, failed: 1, skipped: 0 },
  ],
  ["a focused test", `test("x", () => {}); test.only("y", () => {});`, { passed: 1, failed: 1, skipped: 0 }],
  ["a failing test", `test("x", () => { expect(1).toBe(2); });`, { passed: 0, failed: 1, skipped: 0 }],
  ["a file that cannot be loaded", `throw new Error("broken");`, { passed: 0, failed: 1, skipped: 0 }],
  [
    "a failing set-up",
    `test("x", () => {}); describe("s", () => { beforeAll(() => { throw new Error("no"); }); test("y", () => {}); });`,
    { passed: 1, failed: 1, skipped: 1 },
  ],
  [
    "nothing but skips",
    `test("x", (context) => { skipAloud(context, "no reason to run"); });`,
    { passed: 0, failed: 0, skipped: 1 },
  ],
])("fails for %s", async (name, body, expected) => {
  const { status, totals } = await runTests(name.replaceAll(" ", "-"), body);
  expect(totals).toEqual(expected);
  expect(status).not.toBe(0);
});
