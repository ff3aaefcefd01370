import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { buildCore, buildFileNote, buildImage, type BuiltNote, FieldWriter } from "@cdh/core/testing/core-builder";
import { builtPath, notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const NT_PRSTATUS = 1;
const NT_AUXV = 6;
const AT_PHDR = 3;
const AT_ENTRY = 9;
const NT_FILE = 0x46494c45;
const NT_GNU_BUILD_ID = 3;
/** Where x86-64's registers lie in NT_PRSTATUS, and two of them among these. */
const REGISTERS_AT = 112;
const RIP = 16;
const RSP = 19;

const place = scratchDirectory("security-named-paths");
const cores = { files: join(place, "files.core"), machines: join(place, "machines.core") };
const trace = join(place, "trace");
/** A regular file with the right build-id: that it is opened shows that opening would be seen. */
const own = join(place, "own.so");
const fifo = join(place, "some.fifo");

/** What a core may name, and nobody may open. */
const FILES = [
  fifo,
  join(place, "link-to-fifo"),
  join(place, "link-to-proc", "environ"),
  "/proc/1/environ",
  "/proc/self/root/proc/1/maps",
  "/dev/zero",
  "/dev/full",
  "/sys/kernel/uevent_seqnum",
  "/net/server/share/lib.so",
  "some.fifo",
];
/** The same for names that are another machine's on Windows. */
const MACHINES = [
  "//server/share/lib.so",
  `/${place}/../..//server/share/lib.so`,
  "\\\\server\\share\\lib.so",
  "\\/server\\share\\lib.so",
  "/\\server\\share\\lib.so",
];
/** Not even looked at: a look has effects, or never ends. */
const UNTOUCHED =
  /^(\/proc\/1\/environ|\/proc\/self\/root|\/dev\/(zero|full)|\/sys\/kernel|\/net|(?!.*\/sysroot\/).*[\\/]server[\\/]share)/;

/** A core with a thread in each of the files that it names, so that each is needed for its stack; the first is the program. */
function coreThatNames(paths: readonly string[]): Uint8Array {
  const image = moduleImage();
  const mappings = paths.map((path, index) => {
    const start = 0x40_0000n + BigInt(index) * 0x10_0000n;
    return { path, start, end: start + BigInt(image.length), pages: 0 };
  });
  const stack = 0x7fff_0000_0000n;
  const threads = mappings.map(({ start }, index): BuiltNote => {
    const status = new FieldWriter(336).u16(12, 11).u32(32, index + 1);
    status.word(REGISTERS_AT + 8 * RIP, start + 0x800n).word(REGISTERS_AT + 8 * RSP, stack + 0x800n);
    return { name: "CORE", type: NT_PRSTATUS, desc: status.bytes };
  });
  const program = mappings[0]?.start ?? 0n;
  const auxv = new FieldWriter(48)
    .word(0, AT_PHDR)
    .word(8, program + 64n)
    .word(16, AT_ENTRY)
    .word(24, program + 0x800n);
  return buildCore({
    notes: [
      ...threads,
      { name: "CORE", type: NT_AUXV, desc: auxv.bytes },
      { name: "CORE", type: NT_FILE, desc: buildFileNote(mappings) },
    ],
    segments: [
      ...mappings.map(({ start }) => ({ vaddr: start, bytes: image, flags: 5 })),
      { vaddr: stack, bytes: new Uint8Array(4096), flags: 6 },
    ],
  });
}

function moduleImage(): Uint8Array {
  return buildImage([{ name: "GNU", type: NT_GNU_BUILD_ID, desc: new Uint8Array(20).fill(7) }]);
}

/** A call of a program, and the first file that it names. */
interface Call {
  call: string;
  path: string;
}

/** The calls of a program and of what it started. */
function touched(): Call[] {
  return readFileSync(trace, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, call, path] = /^\d+ +(\w+)\([^"]*"((?:[^"\\]|\\.)*)"/.exec(line) ?? [];
      return call === undefined || path === undefined ? [] : [{ call, path: path.replaceAll("\\\\", "\\") }];
    });
}

const strace = execFileSync("sh", ["-c", "command -v strace || true"], { encoding: "utf8" }).trim();
const debuggers = ["gdb", "lldb"].filter((name) => missingTools(name) === undefined);
const missing = notBuilt("cdh-inspect") ?? missingTools("strace", "mkfifo");

describeUnless(missing, "cdh-inspect opens no path that a core names", () => {
  beforeAll(() => {
    execFileSync("mkfifo", [fifo]);
    symlinkSync(fifo, join(place, "link-to-fifo"));
    symlinkSync("/proc/1", join(place, "link-to-proc"));
    writeFileSync(own, moduleImage());
    // The program is this machine's, so that a debugger takes this machine's files.
    writeFileSync(cores.files, coreThatNames([own, ...FILES]));
    writeFileSync(cores.machines, coreThatNames([own, ...MACHINES]));
    mkdirSync(join(place, "home"));
  });

  /** Run a command on a core, in the directory of the FIFO. @returns how it ended, and what it and its debugger touched */
  const run = async (path: string, args: readonly string[]): Promise<{ result: BuiltResult; calls: Call[] }> => {
    const traced = [
      "-f",
      "-qq",
      "-s",
      "4096",
      "-e",
      "trace=file",
      "-o",
      trace,
      builtPath("cdh-inspect"),
      ...args,
      path,
    ];
    const env = { PATH: process.env["PATH"] ?? "", HOME: join(place, "home"), TMPDIR: place };
    const result = await runBuilt("cdh-inspect", traced, { path: strace, cwd: place, env, timeoutMs: 60_000 });
    expect(result, result.stderr).toMatchObject({ timedOut: false, signal: null });
    const calls = touched();
    expect(calls.length).toBeGreaterThan(20);
    return { result, calls };
  };
  const openedOf = (calls: readonly Call[]): Set<string> =>
    new Set(calls.filter(({ call }) => call.startsWith("open")).map(({ path }) => path));

  const commands = [["bt", "--raw"], ["bt", "--raw", "--sysroot", "/"], ["show"], ["modules"], ["threads"]];
  it.each([...commands, ...debuggers.map((name) => ["bt", "--with", name])])(
    "%s %s %s",
    async (...args) => {
      const { calls } = await run(cores.files, args);
      const opened = openedOf(calls);
      if (args[0] === "bt") expect(opened).toContain(own);
      // A debugger may try a relative name where there is none: in the directory of the FIFO it would hang.
      expect(FILES.filter((path) => path.startsWith("/") && opened.has(path))).toEqual([]);
      expect(calls.filter(({ path }) => UNTOUCHED.test(path))).toEqual([]);
    },
    90_000,
  );

  it.each(commands)(
    "%s %s, of another machine",
    async (...args) => {
      const { calls } = await run(cores.machines, args);
      expect(calls.filter(({ path }) => UNTOUCHED.test(path))).toEqual([]);
    },
    90_000,
  );

  it.each(debuggers)(
    "%s is not started on a core that names another machine's",
    async (name) => {
      const { result, calls } = await run(cores.machines, ["bt", "--with", name]);
      expect(result).toMatchObject({
        exitCode: 16,
        stderr: expect.stringContaining("no debugger may open a core that names"),
      });
      expect(calls.filter(({ path }) => UNTOUCHED.test(path))).toEqual([]);
    },
    90_000,
  );
});
