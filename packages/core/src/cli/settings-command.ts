import { Option } from "clipanion";
import { EXIT } from "../base/errors.ts";
import {
  describeSettings,
  resolveSettings,
  resolveSettingsStrictly,
  type ResolvedSettings,
  type SettingsTable,
} from "../service/config.ts";
import { CdhCommand, parseOutputFormat } from "./cli.ts";
import { flagTexts, formatFlag } from "./flags.ts";
import { renderRows, type Column, type OutputFormat } from "./output.ts";

/** A row of `--print-config`. */
type Row = ReturnType<typeof describeSettings>[number];

const COLUMNS: readonly Column<Row>[] = [
  { header: "SETTING", value: ({ name }) => name },
  { header: "VALUE", value: ({ value }) => value },
  { header: "SOURCE", value: ({ source }) => source },
];

/** Base of the commands whose settings come from a table: `--print-config`, `-o`, and flags by the settings' names. */
export abstract class SettingsCommand extends CdhCommand {
  output = formatFlag();
  printConfig = Option.Boolean("--print-config", false, {
    description: "show each setting, its value and where it comes from, and do nothing",
  });

  /** Read `-o`. @throws {UsageError} */
  protected format(): OutputFormat {
    return parseOutputFormat(this.output);
  }

  /**
   * Resolve a table: flag > environment > default. A flag is the property of this command that has the setting's name.
   * With `--print-config` nothing is refused: it shows what is wrong in its place.
   * @throws {CdhError} CDH_CONFIG_INVALID with all problems at once
   */
  protected resolveStrictly<Table extends SettingsTable>(table: Table): ResolvedSettings<Table> {
    const texts = { flags: flagTexts(this, table), env: this.context.env };
    if (this.printConfig) return resolveSettings(table, texts);
    return resolveSettingsStrictly(table, texts, { hint: "--print-config shows each value and where it comes from" });
  }

  /** Print the settings; for `--print-config`. @returns the exit status */
  protected showConfig<Table extends SettingsTable>(table: Table, resolved: ResolvedSettings<Table>): number {
    this.context.stdout.write(renderRows(this.format(), "settings", describeSettings(table, resolved), COLUMNS));
    return resolved.problems.length === 0 ? EXIT.ok : EXIT.config;
  }
}
