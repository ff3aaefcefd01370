import { Option } from "clipanion";
import type { Setting, SettingsTable } from "../service/config.ts";
import { OUTPUT_FORMATS } from "./output.ts";
import { markValue } from "./value-words.ts";

/**
 * Declare an option that takes a text.
 * @param names `-o,--output`
 * @param word stands for the value on help pages: `FILE`
 */
export function textFlag(names: string, word: string, description: string): string | undefined {
  return Option.String(names, { description: markValue(word, description) });
}

/** Declare an option that takes a text and has one when it is not given. */
export function defaultedFlag(names: string, word: string, initial: string, description: string): string {
  return Option.String(names, initial, { description: markValue(word, description) });
}

/** Declare an option that may be given several times. */
export function listFlag(names: string, word: string, description: string): string[] {
  return Option.Array(names, [], { description: markValue(word, description) });
}

/** Declare `-o`, how the result is printed; `parseOutputFormat` reads it. */
export function formatFlag(): string {
  const [first, ...others] = OUTPUT_FORMATS.toReversed();
  return defaultedFlag("-o,--output", "FORMAT", "table", `${others.toReversed().join(", ")} or ${first ?? ""}`);
}

/** Declare the flag of a setting: its name, its value's word and its help are the table's. @throws {TypeError} when it has none */
export function settingFlag(setting: Setting<unknown>): string | undefined {
  return textFlag(nameOf(setting), setting.word ?? "VALUE", helpOf(setting));
}

/** Declare the flag of a setting that is on or off. @throws {TypeError} when it has none */
export function settingSwitch(setting: Setting<unknown>): boolean | undefined {
  return Option.Boolean(nameOf(setting), { description: helpOf(setting) });
}

/**
 * Collect what a command was given for the settings of a table: its properties have the settings' names.
 * @returns texts by the setting's name; undefined for what was not given
 */
export function flagTexts(command: object, table: SettingsTable): Record<string, string | undefined> {
  const given = command as Readonly<Record<string, unknown>>;
  const texts: Record<string, string | undefined> = {};
  for (const [name, { flag }] of Object.entries(table)) {
    const value = flag === undefined ? undefined : given[name];
    if (typeof value === "string" || typeof value === "boolean") texts[name] = String(value);
  }
  return texts;
}

function nameOf({ env, flag }: Setting<unknown>): string {
  if (flag === undefined) throw new TypeError(`the setting ${env} has no flag`);
  return flag;
}

function helpOf({ env, doc }: Setting<unknown>): string {
  return `${doc.replace(/\.$/, "")} (${env})`;
}
