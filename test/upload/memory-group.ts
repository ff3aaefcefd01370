import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "vitest";
import { skipAloud } from "../helpers/skip.ts";

/** A control group whose processes together get so much memory, their page cache included, and no swap; gone after the test. */
export function makeMemoryGroup(context: TestContext, bytes: number): { path: string; kills(): number } {
  const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  const path = join(isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", `cdh-test-${process.pid}`);
  try {
    mkdirSync(path);
    context.onTestFinished(() => rmdirSync(path));
    writeFileSync(join(path, isUnified ? "memory.max" : "memory.limit_in_bytes"), String(bytes));
  } catch {
    skipAloud(context, "this user can make no control group with a memory limit");
  }
  const counters = join(path, isUnified ? "memory.events" : "memory.oom_control");
  return { path, kills: () => Number(/^oom_kill (\d+)/m.exec(readFileSync(counters, "utf8"))?.[1]) };
}
