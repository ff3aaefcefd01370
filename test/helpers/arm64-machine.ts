import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildCorePattern } from "@cdh/core/kernel/pattern";
import { inspectComposer } from "../../packages/cdh-sysctl/src/change/composer-source.ts";
import { compileArm64 } from "./arm64-programs.ts";
import { outcomeOf, runPath } from "./built.ts";
import { cpioFilesOf, makeCpio, type CpioFile } from "./cpio.ts";
import { REPOSITORY } from "./repository.ts";
import { findOnPath } from "./tools.ts";

/** What `test/tools/arm64-kernel.sh` unpacks: `vmlinuz`, `release` and the few modules of `modules.list`. */
const KERNEL = join(REPOSITORY, ".cache/tools/arm64-kernel");
const COMPOSER = join(REPOSITORY, "dist/arm64/bin/cdc");
const HOST_DIR = "/cdh";
const DISK_BYTES = 256 * 1024 * 1024;
const MEMORY_MIB = 1536;

/** One program that crashes in the machine, and how its core is compressed. */
export interface Arm64Job {
  compression: "zstd" | "deflate" | "none";
  command: readonly [string, ...string[]];
}

/** What became of a job. */
export interface Arm64Crash {
  job: string;
  pid: number;
  signal: number;
  coreDumped: boolean;
}

/** What the machine left. */
export interface Arm64Answer {
  /** Files by their paths in the machine. */
  files: Map<string, Buffer>;
  crashes: Arm64Crash[];
  /** One line for each run of the composer, in order. */
  measurements: { exitCode: number; signal: number; maxRssBytes: number }[];
  console: string;
}

/** Say why no arm64 machine can be started here, or undefined. */
export function arm64MachineUnavailable(): string | undefined {
  // Bun's runtime died once of a SIGSEGV under this emulation, in ten boots: nothing that every run may depend on.
  if (process.env["CDH_ARM64"] !== "1") return "emulated, minutes: CDH_ARM64=1 asks for it (CONTRIBUTING.md)";
  if (!existsSync(join(KERNEL, "vmlinuz"))) return "no arm64 kernel (test/tools/arm64-kernel.sh)";
  // Its runtime is another download of 35 MB, which no test makes on its own.
  if (!existsSync(COMPOSER)) return "dist/arm64/bin/cdc is not built (npm run build -- --arch=arm64)";
  return findOnPath("qemu-system-aarch64").reason;
}

/**
 * Start an arm64 kernel with a root file system, let programs crash in it one after the other, and take out what the
 * composer, started by that kernel, made of them.
 * @param root directory with the programs and their libraries
 * @throws {Error} with the console's last lines when the machine did not come to its end
 */
export async function crashOnArm64(
  scratch: string,
  root: string,
  jobs: readonly Arm64Job[],
  timeoutMs: number,
): Promise<Arm64Answer> {
  // At once, unless the sources are newer.
  await buildForArm64();
  const initramfs = join(scratch, "initramfs");
  const disk = join(scratch, "answer");
  writeFileSync(initramfs, makeCpio([...cpioFilesOf(root), ...machineFiles(scratch, jobs)]));
  writeFileSync(disk, "");
  truncateSync(disk, DISK_BYTES);
  const result = await runPath(
    findOnPath("qemu-system-aarch64").path ?? "",
    [
      ["-M", "virt", "-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", String(MEMORY_MIB)],
      ["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"],
      ["-kernel", join(KERNEL, "vmlinuz"), "-initrd", initramfs],
      ["-append", "console=ttyAMA0 quiet panic=-1 rdinit=/init"],
      ["-drive", `file=${disk},if=none,id=answer,format=raw`, "-device", "virtio-blk-device,drive=answer"],
    ].flat(),
    { timeoutMs },
  );
  const files = readAnswer(disk);
  if (files === undefined)
    throw new Error(
      `the arm64 machine gave no answer (${result.timedOut ? "timed out" : `exit ${String(result.exitCode)}`}):\n${(result.stdout + result.stderr).slice(-4000)}`,
    );
  return {
    files,
    crashes: parseLines(files.get("/out/crashes.jsonl")),
    measurements: parseLines(files.get(`${HOST_DIR}/report`)),
    console: result.stdout,
  };
}

async function buildForArm64(): Promise<void> {
  const build = [join(REPOSITORY, "scripts/bootstrap.mjs"), "build", "--arch=arm64", "--quiet"];
  const result = await runPath(process.execPath, build, { cwd: REPOSITORY, timeoutMs: 180_000 });
  if (result.exitCode !== 0) throw new Error(`npm run build -- --arch=arm64: ${outcomeOf(result)}`);
}

/** The machine's own files: kernel modules, the composer as an install would put it there, and what is to be done. */
function machineFiles(scratch: string, jobs: readonly Arm64Job[]): CpioFile[] {
  const init = join(scratch, "init");
  const measure = join(scratch, "measure");
  compileArm64("init.c", init, ["-O1", "-static"]);
  compileArm64(join(REPOSITORY, "test/programs/measure.c"), measure, ["-O1", "-static"]);
  const modules = readFileSync(join(KERNEL, "modules.list"), "utf8")
    .split("\n")
    .filter((name) => name !== "");
  const composer = inspectComposer(COMPOSER, HOST_DIR);
  const executable = readFileSync(COMPOSER);
  for (const { offset, bytes } of composer.patches) executable.set(bytes, offset);
  const pattern = buildCorePattern(HOST_DIR).replace(
    `|${HOST_DIR}/cdc`,
    `|${HOST_DIR}/measure ${HOST_DIR}/report ${HOST_DIR}/cdc`,
  );
  const lines = jobs.map(({ compression, command }) => `${[compression, ...command].join(" ")}\n`);
  const libraries = join(COMPOSER, "../lib");
  return [
    { name: "init", mode: 0o755, bytes: readFileSync(init) },
    { name: "jobs", mode: 0o644, bytes: Buffer.from(lines.join("")) },
    { name: "pattern", mode: 0o644, bytes: Buffer.from(pattern) },
    { name: "modules", mode: 0o644, bytes: Buffer.from(modules.map((name) => `/kernel/${name}\n`).join("")) },
    { name: "kernel", mode: 0o755 },
    ...modules.map((name) => ({ name: `kernel/${name}`, mode: 0o644, bytes: readFileSync(join(KERNEL, name)) })),
    ...["dev", "proc", "sys", "tmp", "out"].map((name) => ({ name, mode: 0o755 })),
    { name: "cdh", mode: 0o755 },
    { name: "cdh/cores", mode: 0o700 },
    { name: "cdh/measure", mode: 0o755, bytes: readFileSync(measure) },
    { name: "cdh/cdc", mode: 0o755, bytes: executable },
    { name: "cdh/lib", mode: 0o755 },
    ...(composer.libraryFolder === "lib" ? [] : [{ name: `cdh/${composer.libraryFolder}`, mode: 0o755 }]),
    ...cpioFilesOf(libraries, `cdh/${composer.libraryFolder}/`),
  ];
}

/** Files as init wrote them: two 64-bit lengths, name, bytes; undefined when the end is missing. */
function readAnswer(disk: string): Map<string, Buffer> | undefined {
  const fd = openSync(disk, "r");
  const read = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
  };
  try {
    const files = new Map<string, Buffer>();
    for (let at = 0; at + 16 <= DISK_BYTES;) {
      const lengths = read(at, 16);
      const [nameBytes, sizeBytes] = [Number(lengths.readBigUInt64LE(0)), Number(lengths.readBigUInt64LE(8))];
      if (nameBytes === 0) return files.size === 0 ? undefined : files;
      if (at + 16 + nameBytes + sizeBytes > DISK_BYTES) return undefined;
      files.set(read(at + 16, nameBytes).toString(), read(at + 16 + nameBytes, sizeBytes));
      at += 16 + nameBytes + sizeBytes;
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function parseLines<T>(bytes: Buffer | undefined): T[] {
  return (bytes?.toString() ?? "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** Put files of an answer below a directory; gives their paths there. */
export function keepAnswer(answer: Arm64Answer, directory: string, suffix: string): string[] {
  mkdirSync(directory, { recursive: true });
  return [...answer.files].flatMap(([name, bytes]) => {
    if (!name.endsWith(suffix)) return [];
    const path = join(directory, name.slice(name.lastIndexOf("/") + 1));
    writeFileSync(path, bytes);
    return [path];
  });
}
