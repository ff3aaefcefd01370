import type { Native } from "../self/native.ts";
import { memoryOf } from "../self/process-memory.ts";

/** What a packer may take: milliseconds of a processor and in all, and bytes of memory that is no file's. */
export const PACK_BOUNDS = { cpuMs: 120_000, timeMs: 280_000, memoryBytes: 160 * 1024 * 1024 } as const;

/** What its composer's own look is given before the kernel ends either of them, in milliseconds. */
const SPARE_MS = 20_000;
const LOOK_MS = 100;

/** Seconds after which the kernel ends a packer, and a composer that waits for one. */
export const PACK_ALARM_SECONDS = Math.ceil((PACK_BOUNDS.timeMs + SPARE_MS) / 1000);

/**
 * Hold this process, a packer, to its bounds without anybody's help: its composer, which watches it, may be killed. The kernel ends
 * it with its composer, after its time and its processor time; its memory it looks at itself.
 * @param composer pid of the process that started this one
 */
export function holdToBounds(native: Native, composer: number): void {
  native.alarm(PACK_ALARM_SECONDS);
  native.limitProcessor(Math.ceil((PACK_BOUNDS.cpuMs + SPARE_MS) / 1000));
  native.dieWithParent();
  const look = (): void => {
    // Also whoever lost its composer before the kernel was asked.
    if (process.ppid !== composer || memoryOf(process.pid) > PACK_BOUNDS.memoryBytes)
      process.kill(process.pid, "SIGKILL");
  };
  look();
  setInterval(look, LOOK_MS).unref();
}
