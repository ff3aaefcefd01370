import ini from "ini";

/**
 * Parse an env file: `KEY=value` lines, `#` and `;` comments, optional quotes. Broken lines are skipped, never fatal:
 * the composer reads this file while a process waits to die.
 * @returns every value as a string
 */
export function parseEnvFile(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    if (!/^\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=/.test(line)) continue;
    for (const [key, value] of Object.entries(parseLine(line.replace(/^\s*export\s+/, "")))) {
      // ini turns true, false and null into values of their own and makes objects of dotted keys.
      if (typeof value !== "object" || value === null) values[key] = String(value);
    }
  }
  return values;
}

/** Write an env file that {@link parseEnvFile}, and IBM's dotenv, read back to the same values. */
export function formatEnvFile(values: Readonly<Record<string, string>>): string {
  return ini.stringify(values);
}

function parseLine(line: string): Record<string, unknown> {
  try {
    return ini.parse(line);
  } catch {
    return {};
  }
}
