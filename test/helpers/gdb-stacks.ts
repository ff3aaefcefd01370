import { spawnSync } from "node:child_process";

/** One thread as gdb walks it: program counters from the innermost frame on, with the functions' names. */
export interface GdbThread {
  tid: number;
  frames: { pc: bigint; name: string | undefined; isSigned: boolean }[];
}

/** What gdb was asked. */
export interface GdbQuestion {
  executable?: string;
  core: string;
  sysroot?: string;
  commands: readonly string[];
}

/** Ask a gdb that knows every machine about a core, in batch, without anybody's start-up files. */
export function askGdb(name: "gdb" | "gdb-multiarch", question: GdbQuestion): string {
  const { executable, core, sysroot, commands } = question;
  const before = [
    "set width 0",
    "set debuginfod enabled off",
    ...(sysroot === undefined ? [] : [`set sysroot ${sysroot}`]),
  ];
  const result = spawnSync(
    name,
    [
      ["-nx", "-nh", "-q", "-batch", ...before.flatMap((setting) => ["-iex", setting])],
      [
        ...(executable === undefined ? [] : ["-se", executable]),
        "-core",
        core,
        ...commands.flatMap((command) => ["-ex", command]),
      ],
    ].flat(),
    { encoding: "utf8", maxBuffer: 64 * 1024 * 1024, env: { ...process.env, LC_ALL: "C.UTF-8", DEBUGINFOD_URLS: "" } },
  );
  return `${result.stdout}${result.stderr}`;
}

/** Walk all threads with gdb, past main. A signal's frame is named `<signal handler called>`, without an address. */
export function gdbStacks(name: "gdb" | "gdb-multiarch", question: Omit<GdbQuestion, "commands">): GdbThread[] {
  const text = askGdb(name, {
    ...question,
    commands: [
      "set print frame-info location-and-address",
      "set print frame-arguments none",
      "set backtrace past-main on",
      "thread apply all -ascending backtrace",
    ],
  });
  return text
    .split(/^(?=Thread \d+ )/m)
    .filter((block) => block.startsWith("Thread "))
    .map((block) => {
      const frames = [
        ...block.matchAll(/^#\d+ +(?:(0x[0-9a-f]+)(?: (\[PAC\]))? in )?(<signal handler called>|[^ (]+)/gm),
      ].map(([, pc, signed, called]) => ({
        pc: BigInt(pc ?? 0),
        name: called === "??" ? undefined : called,
        isSigned: signed !== undefined,
      }));
      return {
        tid: Number(/LWP (\d+)/.exec(block)?.[1] ?? 0),
        // What was inlined is shown at its caller's address.
        frames: frames.filter(({ pc }, index) => pc === 0n || pc !== frames[index - 1]?.pc),
      };
    });
}
