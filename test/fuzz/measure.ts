import { readFileSync, writeFileSync } from "node:fs";

/** What one input cost this process. */
export interface Cost {
  /** Processor time of all threads, in ms. */
  cpuMs: number;
  /** Highest resident memory above that before it, in bytes. */
  memoryBytes: number;
}

/** An await that never ends is a finding, too. */
const END_MS = 60_000;

/** Run it and measure. @throws {Error} what it throws, and when it does not end */
export async function measure(work: () => void | Promise<void>): Promise<Cost> {
  // "5" resets VmHWM to what is resident now. @see proc_pid_clear_refs(5)
  writeFileSync("/proc/self/clear_refs", "5");
  const before = residentBytes("VmRSS");
  const cpu = process.cpuUsage();
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`has not ended after ${END_MS / 1000} s`)), END_MS);
  });
  try {
    await Promise.race([work(), end]);
  } finally {
    clearTimeout(timer);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { cpuMs: (user + system) / 1000, memoryBytes: residentBytes("VmHWM") - before };
}

function residentBytes(field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync("/proc/self/status", "latin1");
  const line = status.split("\n").find((one) => one.startsWith(`${field}:`)) ?? "";
  return Number(line.replaceAll(/\D/g, "")) * 1024;
}
