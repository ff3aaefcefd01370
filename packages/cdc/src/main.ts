import { firstRead } from "./first-read.ts";
import { isCrash, words } from "./invocation.ts";

if (isCrash) {
  const { runForKernel } = await import("./kernel-mode.ts");
  // The process must not wait for a read that nobody answers any more.
  process.exit(await runForKernel(words, process.env, firstRead));
} else {
  const { runForPerson } = await import("./person-mode.ts");
  await runForPerson(words);
}
