import { expect, it } from "vitest";
import { launchConfigurations } from "./launch-json.ts";

/**
 * What the extensions say that they read.
 * @see microsoft/vscode-cpptools, Extension/tools/OptionsSchema.json, CppdbgLaunchOptions; vadimcn/codelldb, MANUAL.md, "Starting a
 *   New Debug Session" and "Inspecting a Core Dump"
 */
const DOCUMENTED: Readonly<Record<string, { required: string[]; known: string[] }>> = {
  cppdbg: {
    required: ["program"],
    known: ["args", "cwd", "setupCommands", "MIMode", "miDebuggerPath", "coreDumpPath", "sourceFileMap", "debuginfod"],
  },
  lldb: {
    required: ["targetCreateCommands", "processCreateCommands"],
    known: ["initCommands", "preRunCommands", "postRunCommands", "exitCommands", "sourceMap"],
  },
};
const COMMON = ["name", "type", "request"];

it("holds only what the extensions document", () => {
  const configurations = launchConfigurations();
  expect(configurations.map(({ type, request }) => `${String(type)} ${String(request)}`)).toEqual([
    "cppdbg launch",
    "lldb attach",
  ]);
  for (const configuration of configurations) {
    const { required = [], known = [] } = DOCUMENTED[String(configuration["type"])] ?? {};
    expect(Object.keys(configuration)).toEqual(expect.arrayContaining([...COMMON, ...required]));
    expect(Object.keys(configuration).filter((key) => ![...COMMON, ...required, ...known].includes(key))).toEqual([]);
  }
  const commands = (configurations[0]?.["setupCommands"] ?? []) as object[];
  expect(commands).toHaveLength(3);
  for (const command of commands) expect(Object.keys(command)).toEqual(["text"]);
});
