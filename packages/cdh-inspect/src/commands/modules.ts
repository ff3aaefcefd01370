import { Command, Option } from "clipanion";
import type { ModuleFacts } from "@cdh/core/bundle/manifest";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { renderRows } from "@cdh/core/output";
import { threadsAndModules } from "../details.ts";
import { InspectCommand } from "../inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** List the files that were mapped. */
export class ModulesCommand extends InspectCommand {
  static override paths = [["modules"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "every executable and library in memory: range, build-id, package",
    details: `
      ${BUNDLE_HELP}

      A build-id finds the right file for a debugger, by hand or through debuginfod.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [["Build-ids, for a script", "$0 modules -o json crash.zip"]],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });

  override async run(): Promise<void> {
    const format = parseOutputFormat(this.output);
    await this.withSubject(this.bundle, async (subject) => {
      const { modules } = await threadsAndModules(subject);
      const hasPackages = modules.some((module) => module.package !== undefined);
      this.write(
        renderRows(format, "modules", modules, [
          { header: "START", value: (row) => row.start },
          { header: "END", value: (row) => row.end },
          { header: "BUILD-ID", value: (row) => row.buildId ?? "-" },
          ...(hasPackages ? [{ header: "PACKAGE", value: packageOf }] : []),
          { header: "PATH", value: (row) => row.path },
        ]),
      );
    });
  }
}

/** @see https://systemd.io/PACKAGE_METADATA_FOR_EXECUTABLE_FILES/ */
function packageOf(module: ModuleFacts): string {
  const { name, version } = module.package ?? {};
  return typeof name === "string" ? `${name}${typeof version === "string" ? ` ${version}` : ""}` : "-";
}
