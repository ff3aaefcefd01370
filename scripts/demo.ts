/**
 * The main job, for real: `npm run demo`. Installs the composer, crashes two programs, moves their bundles into a store,
 * shows the report, and puts the kernel back — also on Ctrl-C and when a step fails.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { holdKernel, kernelUnavailable, readKernelSettings, type KernelHold } from "../test/helpers/kernel-state.ts";
import { crashWithNode, type DemoCrash } from "./demo/crashes.ts";
import { program, Stopped, stopOnSignals } from "./demo/programs.ts";
import { recordedCore } from "./demo/recorded-core.ts";
import { bytes, duration, note, ok, step, title } from "./demo/screen.ts";

const work = fs.mkdtempSync(path.join(os.tmpdir(), "cdh-demo-"));
const hostDir = path.join(work, "host");
const coreDir = path.join(hostDir, "cores");
const store = path.join(work, "store");
const storeUrl = `file://${store}`;
const BUNDLE_WAIT_MS = 60_000;

/** The beginning of a crash's id, which is enough for `cdh-inspect`. */
function shortId(bundle: string): string {
  return bundle.slice(0, 8);
}

/** Build what is not built yet; the build says in a line a program what it made. */
function build(): void {
  execFileSync(process.execPath, [path.join(import.meta.dirname, "build.ts"), "--quiet"], { stdio: "inherit" });
}

/** Install, crash, wait for the bundles. Everything is put back by {@link restore}. */
async function capture(): Promise<DemoCrash[]> {
  step("Install the composer and tell the kernel", `cdh-sysctl install --host-dir ${hostDir}`);
  await program("cdh-sysctl", ["install", "--host-dir", hostDir, "--set", "RATE_LIMIT=0"]);
  step("Crash two real programs", "node -e 'process.abort()'; node -e 'process.kill(process.pid, \"SIGSEGV\")'");
  const crashes: DemoCrash[] = [];
  for (const signal of ["SIGABRT", "SIGSEGV"] as const) {
    const crash = await crashWithNode(signal);
    crashes.push(crash);
    ok(`${signal}, pid ${crash.pid}: the kernel held the process for ${duration(crash.holdMs)}`);
  }
  await waitForBundles(crashes.length);
  return crashes;
}

async function waitForBundles(count: number): Promise<void> {
  const deadline = performance.now() + BUNDLE_WAIT_MS;
  for (;;) {
    const bundles = fs.existsSync(coreDir)
      ? fs.readdirSync(coreDir).filter((name) => !name.startsWith(".") && name.endsWith(".zip"))
      : [];
    if (bundles.length >= count) {
      for (const name of bundles)
        ok(`${bytes(fs.statSync(path.join(coreDir, name)).size).padStart(9)}  ${shortId(name)}`);
      return;
    }
    if (performance.now() > deadline)
      throw new Error(`only ${bundles.length} of ${count} bundles came; see ${hostDir}/composer.log`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    stopOnSignals.throwIfStopped();
  }
}

/** Where the kernel can't be set, a core that a kernel wrote earlier takes the same way. */
async function replay(reason: string): Promise<void> {
  note(
    `The kernel can't be set here (${reason.replace("the kernel suite ", "it ")}): a recorded core is replayed instead.`,
  );
  step("Replay a recorded core", "cdc replay CORE -d=CORE_DIR -s=11 -e=segv");
  const { file, words } = recordedCore(work);
  await program("cdc", ["replay", file, `-d=${coreDir}`, ...words]);
}

async function storeAndShow(expected: number): Promise<void> {
  step("Move the bundles into the store", `cdh-upload sweep --store ${storeUrl}`);
  await program("cdh-upload", ["sweep", "--core-dir", coreDir, "--store", storeUrl]);
  step("List what crashed", `cdh-inspect ls ${storeUrl}`);
  await program("cdh-inspect", ["ls", storeUrl]);
  const listed = await program("cdh-inspect", ["ls", storeUrl, "-q"], { quiet: true });
  const names = listed.split("\n").filter((line) => line !== "");
  if (names.length !== expected) throw new Error(`${names.length} bundles in the store, ${expected} expected`);
  step("Show the newest crash", `cdh-inspect show ${storeUrl}`);
  await program("cdh-inspect", ["show", storeUrl]);
  step("Check every byte of it", `cdh-inspect verify ${storeUrl}`);
  await program("cdh-inspect", ["verify", storeUrl]);
}

/** Give the kernel back; the guard of {@link holdKernel} does it once more, should even this not be reached. */
async function restore(): Promise<void> {
  if (!fs.existsSync(hostDir)) return;
  step("Put the kernel back", `cdh-sysctl restore --host-dir ${hostDir}`);
  await program("cdh-sysctl", ["restore", "--host-dir", hostDir], { evenWhenStopped: true });
}

async function main(): Promise<number> {
  title("core-dump-handler: from a crash to its report");
  build();
  const started = performance.now();
  const reason = kernelUnavailable();
  let hold: KernelHold | undefined;
  let failure: unknown;
  let crashes: DemoCrash[] = [];
  try {
    if (reason === undefined) hold = await holdKernel();
    if (hold === undefined) await replay(reason ?? "unknown");
    else crashes = await capture();
    await storeAndShow(hold === undefined ? 1 : crashes.length);
  } catch (error) {
    failure = error;
  }
  try {
    if (hold !== undefined) {
      await restore();
      // While the lock is held: before and after, the settings may be another run's.
      if (JSON.stringify(readKernelSettings()) !== JSON.stringify(hold.saved))
        throw new Error("cdh-sysctl restore left other kernel settings than there were before");
    }
  } catch (error) {
    failure ??= error;
  }
  // Puts back what is still different, and throws when it can't.
  await hold?.release();
  if (failure !== undefined) {
    const text = failure instanceof Error ? failure.message : String(failure);
    process.stderr.write(`\n${failure instanceof Stopped ? "stopped" : "demo failed"}: ${text}\n`);
    if (hold !== undefined) process.stderr.write("The kernel's settings are as they were before.\n");
    return failure instanceof Stopped ? failure.exitCode : 1;
  }
  summarise(crashes, performance.now() - started);
  return 0;
}

function summarise(crashes: readonly DemoCrash[], totalMs: number): void {
  title("Summary");
  for (const crash of crashes) ok(`${crash.signal}: pid ${crash.pid} was released after ${duration(crash.holdMs)}`);
  const files = fs.readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".zip"));
  for (const name of files) {
    const where = path.join(path.dirname(name), shortId(path.basename(name)));
    ok(`${bytes(fs.statSync(path.join(store, name)).size).padStart(9)}  ${storeUrl}/${where}`);
  }
  if (crashes.length > 0) ok("The kernel's three settings are as they were before.");
  ok(`Done in ${duration(totalMs)}.`);
  title("Try next");
  console.log(`  dist/bin/cdh-inspect show ${storeUrl}`);
  console.log(`  dist/bin/cdh-inspect unpack ${storeUrl} /tmp/crash && ls -l /tmp/crash`);
  console.log(`  dist/bin/cdh-inspect bt ${storeUrl} --sysroot /`);
  console.log(`\nThe store stays in ${store} until you remove it.`);
}

process.exit(await main());
