import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const server = { deps: { inline: ["clipanion"] } };

/** What is waited for comes when the machine gets round to it: two cores may have twenty things to do. */
const patient = { poll: { timeout: 20_000, interval: 50 } };

/**
 * A suite of processes, sockets and deadlines can lose a race on a busy CI machine: there it gets a second try, and the
 * end of the run names each test that needed it. Elsewhere the first failure counts.
 */
const retry = process.env["CI"] === undefined ? 0 : 1;

/** Most suites wait for processes they started; vitest would leave one of the processors to itself. */
const maxWorkers = availableParallelism();

/**
 * Four projects: `unit` needs no build, `blackbox` runs the built executables, `kernel` changes this machine's core
 * pattern, so its files run one after the other, and `pods` does so too, with a container runtime beside it.
 */
export default defineConfig({
  test: {
    reporters: ["default", "./scripts/skip-reporter.ts"],
    allowOnly: false,
    maxWorkers,
    projects: [
      {
        test: {
          name: "unit",
          sequence: { groupOrder: 0 },
          include: ["packages/*/src/**/*.test.ts", "scripts/**/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          expect: patient,
          server,
        },
      },
      {
        test: {
          name: "blackbox",
          sequence: { groupOrder: 1 },
          include: ["test/**/*.test.ts"],
          exclude: [
            "test/kernel/**",
            "test/pods/**",
            "test/runtimes/**",
            "test/cluster/node.test.ts",
            "test/**/fixtures/**",
            "**/node_modules/**",
          ],
          retry,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          expect: patient,
          server,
        },
      },
      {
        test: {
          name: "kernel",
          sequence: { groupOrder: 2 },
          include: ["test/kernel/**/*.test.ts"],
          fileParallelism: false,
          retry,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: patient,
          server,
        },
      },
      {
        test: {
          name: "pods",
          sequence: { groupOrder: 3 },
          include: ["test/pods/**/*.test.ts", "test/runtimes/**/*.test.ts", "test/cluster/node.test.ts"],
          fileParallelism: false,
          retry,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: patient,
          server,
        },
      },
    ],
  },
});
