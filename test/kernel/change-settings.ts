/** Run by guard.test.ts: changes the kernel's settings under the lock, then ends in the way its argument names. */
import { holdKernel, readKernelSettings } from "../helpers/kernel-state.ts";

const hold = await holdKernel();
hold.set({ corePattern: "/tmp/cdh-guard.%p", corePipeLimit: "7", suidDumpable: "1" });
process.stdout.write(JSON.stringify(readKernelSettings()));
const end = process.argv[2];
if (end === "exit") process.exit(0);
if (end === "throw") throw new Error("uncaught");
process.kill(process.pid, end);
