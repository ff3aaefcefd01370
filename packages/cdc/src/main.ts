import { firstRead } from "./first-read.ts";
import { isKernelMode } from "@cdh/core/kernel/arguments";

const argv = process.argv.slice(2);
if (isKernelMode(argv)) {
  const { runForKernel } = await import("./kernel-mode.ts");
  // The process must not wait for a read that nobody answers any more.
  process.exit(await runForKernel(argv, process.env, firstRead));
} else {
  const { runForPerson } = await import("./person-mode.ts");
  await runForPerson(argv);
}
