import { CdhError, reasonOf } from "../base/errors.ts";
import { parseBytes, parseDuration } from "../base/units.ts";

/** Describe one setting of a program. One table per program makes its help, its docs and its values. */
export interface Setting<T> {
  /** Environment name, also the key in the env file. */
  env: string;
  /** Other environment names that mean the same, tried in order. */
  aliases?: readonly string[];
  /** Command-line flag, when it has one: `--core-dir`. A switch where the value is on or off. */
  flag?: string;
  /** Stands for the flag's value on help pages: `DIR`. */
  word?: string;
  /** Reads the text; throws when it can't. */
  parse: (text: string) => T;
  default: T;
  /** Unit of a bare number, for the docs: `bytes`, `s`, `lines`. */
  unit?: string;
  /** One sentence for help and docs. */
  doc: string;
  /** Never printed. */
  secret?: boolean;
}

/** A program's table of settings, keyed by the name the code uses. */
export type SettingsTable = Readonly<Record<string, Setting<unknown>>>;

/** The values that a table resolves to. */
export type SettingsOf<Table extends SettingsTable> = {
  [Key in keyof Table]: Table[Key] extends Setting<infer T> ? T : never;
};

/** Where a value came from. */
export type SettingSource = "flag" | "environment" | "file" | "default";

/** Hold a program's values, where each came from, and what was wrong. */
export interface ResolvedSettings<Table extends SettingsTable> {
  values: SettingsOf<Table>;
  sources: Record<keyof Table, SettingSource>;
  /** One message for each text that could not be read; its setting has the default. */
  problems: string[];
  /** Texts that could not be read, by their settings: what it was, safe to show, and why not. */
  unread: { [Key in keyof Table]?: { shown: string; reason: string; source: SettingSource } };
}

/** The texts to resolve from, strongest first: flag > environment > env file > default. */
export interface SettingTexts {
  /** Keyed by the setting's name in the table. */
  flags?: Readonly<Record<string, string | undefined>>;
  env?: Readonly<Record<string, string | undefined>>;
  file?: Readonly<Record<string, string | undefined>>;
}

/** Keep a table's types while checking its shape. */
export function defineSettings<Table extends SettingsTable>(table: Table): Table {
  return table;
}

/** Describe one setting; keeps the literal type of its value. */
export function setting<T>(description: Setting<T>): Setting<T> {
  return description;
}

/**
 * Resolve every setting of a table. Total: an unreadable text becomes a problem and the default is taken, because the
 * composer must go on; programs that people run call {@link resolveSettingsStrictly}.
 */
export function resolveSettings<Table extends SettingsTable>(
  table: Table,
  texts: SettingTexts,
): ResolvedSettings<Table> {
  const values: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  const problems: string[] = [];
  const unread: Record<string, { shown: string; reason: string; source: SettingSource }> = {};
  for (const [name, description] of Object.entries(table)) {
    values[name] = description.default;
    sources[name] = "default";
    const found = findText(name, description, texts);
    if (found === undefined) continue;
    try {
      values[name] = description.parse(found.text);
      sources[name] = found.source;
    } catch (error) {
      const shown = description.secret === true ? "(secret)" : JSON.stringify(found.text);
      const reason = reasonOf(error);
      problems.push(`${found.label} ${shown}: ${reason}`);
      unread[name] = { shown, reason, source: found.source };
    }
  }
  return {
    values: values as SettingsOf<Table>,
    sources: sources as Record<keyof Table, SettingSource>,
    problems,
    unread: unread as ResolvedSettings<Table>["unread"],
  };
}

/**
 * Resolve every setting, and refuse with all problems at once.
 * @param options.hint what the reader can do, in the program at hand
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function resolveSettingsStrictly<Table extends SettingsTable>(
  table: Table,
  texts: SettingTexts,
  options: { hint?: string } = {},
): ResolvedSettings<Table> {
  const resolved = resolveSettings(table, texts);
  if (resolved.problems.length > 0) {
    throw new CdhError("CDH_CONFIG_INVALID", `invalid settings: ${resolved.problems.join("; ")}`, {
      ...options,
      details: { problems: resolved.problems },
    });
  }
  return resolved;
}

/** Render each value and its source, secrets hidden, for `--print-config`; in place of a value that cannot be read, why not. */
export function describeSettings<Table extends SettingsTable>(
  table: Table,
  resolved: ResolvedSettings<Table>,
): { name: string; value: string; source: SettingSource; doc: string }[] {
  return Object.entries(table).map(([name, description]) => {
    const bad = resolved.unread[name];
    if (bad !== undefined)
      return {
        name: description.env,
        value: `✗ ${bad.shown}: ${bad.reason}`,
        source: bad.source,
        doc: description.doc,
      };
    const value: unknown = resolved.values[name];
    const shown = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
    return {
      name: description.env,
      value: description.secret === true && shown !== "" ? "(set)" : shown,
      source: resolved.sources[name] ?? "default",
      doc: description.doc,
    };
  });
}

/** Readers of setting texts. Each throws a CdhError that says what was expected. */
export const parsers = {
  text: (text: string): string => text,
  bytes: parseBytes,
  /** Bytes, or undefined for the empty text: no limit. */
  optionalBytes: (text: string): number | undefined => (text.trim() === "" ? undefined : parseBytes(text)),
  optionalText: (text: string): string | undefined => (text === "" ? undefined : text),
  durationFromSeconds: (text: string): number => parseDuration(text, "s"),
  durationFromMs: (text: string): number => parseDuration(text, "ms"),
  integer:
    (min: number, max = Number.MAX_SAFE_INTEGER) =>
    (text: string): number => {
      const value = Number(text.trim());
      if (!/^[+-]?\d+$/.test(text.trim()) || value < min || value > max) {
        throw new CdhError("CDH_CONFIG_INVALID", `not a whole number from ${min} to ${max}`);
      }
      return value;
    },
  boolean: (text: string): boolean => {
    const lower = text.trim().toLowerCase();
    if (["true", "1", "yes", "on"].includes(lower)) return true;
    if (["false", "0", "no", "off", ""].includes(lower)) return false;
    throw new CdhError("CDH_CONFIG_INVALID", "neither true nor false");
  },
  oneOf:
    <const Names extends readonly string[]>(...names: Names) =>
    (text: string): Names[number] => {
      const found = names.find((name) => name === text.trim().toLowerCase());
      if (found === undefined) throw new CdhError("CDH_CONFIG_INVALID", `none of ${names.join(", ")}`);
      return found;
    },
  list: (text: string): string[] =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
};

function findText(
  name: string,
  description: Setting<unknown>,
  texts: SettingTexts,
): { text: string; source: SettingSource; label: string } | undefined {
  const flag = texts.flags?.[name];
  if (flag !== undefined) return { text: flag, source: "flag", label: description.flag ?? name };
  for (const source of ["environment", "file"] as const) {
    const texts_ = source === "environment" ? texts.env : texts.file;
    for (const env of [description.env, ...(description.aliases ?? [])]) {
      const text = texts_?.[env];
      if (text !== undefined) return { text, source, label: env };
    }
  }
  return undefined;
}
