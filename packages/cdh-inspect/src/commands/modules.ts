import { Command, Option } from "clipanion";
import type { ModuleFacts } from "@cdh/core/bundle/manifest";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { renderRows } from "@cdh/core/output";
import { threadsAndModules } from "../read/threads-modules.ts";
import { InspectCommand } from "./inspect-command.ts";
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

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when the core does not say all of them.
    `,
    examples: [["Build-ids, for a script", "$0 modules -o json crash.zip"]],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    return this.withOpened(this.bundle, async (opened) => {
      const { modules, remarks } = await threadsAndModules(opened);
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
      for (const remark of remarks.modules) this.warn(remark);
      return remarks.modules.length === 0 ? EXIT.ok : EXIT.incomplete;
    });
  }
}

/** @see https://systemd.io/PACKAGE_METADATA_FOR_EXECUTABLE_FILES/ */
function packageOf(module: ModuleFacts): string {
  const { name, version } = module.package ?? {};
  return typeof name === "string" ? `${name}${typeof version === "string" ? ` ${version}` : ""}` : "-";
}
