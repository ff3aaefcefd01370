import { chmodSync, copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { missingTools } from "../helpers/tools.ts";
import { type HandlerOrReason, outcomeOf, readMeasurements, until } from "./handler.ts";
import type { HandlerName } from "./options.ts";

/** The lines that people put into a script for core_pattern, each reading the core on stdin. */
export const SHELL_LINES = {
  "zstd-1": "zstd -1 -q -c",
  "zstd-3-T0": "zstd -3 -T0 -q -c",
  pigz: "pigz -c",
  "gzip-6": "gzip -6 -c",
  cat: "cat",
} as const satisfies Partial<Record<HandlerName, string>>;

/** How long a handler may take for one core. */
export const PATIENCE_MS = 900_000;

/**
 * Write the small script that the core pattern starts. The pattern itself has 127 bytes and no quotes.
 * @returns the script's path
 */
export function writeWrapper(directory: string, command: string): string {
  copyFileSync(compileCrashPrograms().measure, join(directory, "measure"));
  const script = join(directory, "w");
  writeFileSync(
    script,
    `#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\nexport PATH\nexec ${directory}/measure ${directory}/report ${command}\n`,
  );
  chmodSync(script, 0o755);
  return script;
}

/** Make a handler out of a shell line that writes the compressed core to a file. */
export function shellHandler(name: keyof typeof SHELL_LINES): HandlerOrReason {
  const line = SHELL_LINES[name];
  const missing = missingTools(line.split(" ")[0] ?? "");
  if (missing !== undefined) return { name, unavailable: missing };
  const directory = mkdtempSync("/tmp/cdhb-");
  const output = name === "cat" ? "/dev/null" : join(directory, "out");
  const script = writeWrapper(directory, `/bin/sh -c 'exec ${line} >${output}'`);
  let done = 0;
  return {
    name,
    command: `${line} >${name === "cat" ? "/dev/null" : "file"}`,
    pattern: `|${script}`,
    finish: async () => {
      const measured = await until(name, PATIENCE_MS, () => readMeasurements(join(directory, "report"))[done]);
      done += 1;
      const outputBytes = name === "cat" ? 0 : statSync(output).size;
      if (name !== "cat") rmSync(output);
      return outcomeOf([measured], outputBytes);
    },
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true, force: true }),
  };
}
