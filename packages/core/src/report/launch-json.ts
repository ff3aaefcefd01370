/**
 * What lies where in a directory that `unpack --with-binaries` writes. The names are fixed: VS Code runs what stands as
 * `${command:…}` in a path, and a crashed process chooses its own.
 */
export const CRASH_FOLDER = {
  core: "core",
  /** A link to the program below `sysroot`. */
  program: "program",
  /** The crashed process's files, by their own paths. */
  sysroot: "sysroot",
  /** Debug info by build-id, as `/usr/lib/debug` has it. */
  debug: "debug",
} as const;

const HERE = "${workspaceFolder}";

/**
 * VS Code's launch configurations for a directory that `unpack --with-binaries` wrote: by gdb with Microsoft's C/C++ extension, by lldb
 * with CodeLLDB.
 * @see https://code.visualstudio.com/docs/cpp/launch-json-reference; CodeLLDB's manual, "Inspecting a Core Dump"
 */
export function launchConfigurations(): Record<string, unknown>[] {
  const at = (name: keyof typeof CRASH_FOLDER): string => `${HERE}/${CRASH_FOLDER[name]}`;
  return [
    {
      name: "Core dump (gdb)",
      type: "cppdbg",
      request: "launch",
      program: at("program"),
      coreDumpPath: at("core"),
      cwd: HERE,
      MIMode: "gdb",
      setupCommands: [
        { text: "set auto-load off" },
        { text: `set sysroot ${at("sysroot")}` },
        { text: `set debug-file-directory ${at("debug")}` },
      ],
    },
    {
      name: "Core dump (lldb)",
      type: "lldb",
      request: "attach",
      initCommands: [`settings append target.debug-file-search-paths "${at("debug")}"`],
      targetCreateCommands: [`target create --core "${at("core")}" --sysroot "${at("sysroot")}" "${at("program")}"`],
      processCreateCommands: [],
    },
  ];
}

/** The text of `.vscode/launch.json`. */
export function launchJson(): string {
  return `${JSON.stringify({ version: "0.2.0", configurations: launchConfigurations() }, null, 2)}\n`;
}
