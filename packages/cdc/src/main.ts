import { firstRead } from "./first-read.ts";
import { isCrash, isFinish, isPacker, isStackWalker, MESSAGE_WORD, words } from "./kernel/invocation.ts";

/** Milliseconds that an ended command may be kept alive by a call that does not answer, such as one of a hung disk. */
const LINGER_MS = 1_000;

/** What holds a torn bundle, or walks a stack for its crash, goes on as well. */
async function surviveForgottenFiles(): Promise<void> {
  const { ForgottenFiles } = await import("@cdh/core/base/forgotten-files");
  new ForgottenFiles((path) => console.error(`cdc: ${path} was not closed`)).watch((error) => {
    throw error;
  });
}

if (isCrash) {
  const { runForKernel } = await import("./kernel-mode.ts");
  // The process must not wait for a read that nobody answers any more.
  process.exit(await runForKernel(words, process.env, firstRead));
} else if (isFinish) {
  await surviveForgottenFiles();
  const { finishTorn } = await import("./keep/finish-torn.ts");
  process.exit(
    await finishTorn({ coreDir: words[1] ?? "", exeDir: words[2] ?? "", message: words[3] === MESSAGE_WORD }),
  );
} else if (isStackWalker) {
  await surviveForgottenFiles();
  const { runWalker } = await import("./stack/walker.ts");
  process.exit(await runWalker());
} else if (isPacker) {
  await surviveForgottenFiles();
  const { runPacker } = await import("./binaries/packer.ts");
  process.exit(await runPacker());
} else {
  const { runForPerson } = await import("./person-mode.ts");
  await runForPerson(words);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}
