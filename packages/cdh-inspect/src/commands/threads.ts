import { Command, Option } from "clipanion";
import type { ThreadFacts } from "@cdh/core/bundle/manifest";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { renderRows } from "@cdh/core/output";
import { formatPlace, makeAddressMap } from "@cdh/core/report/address-map";
import { threadsAndModules } from "../details.ts";
import { InspectCommand } from "../inspect-command.ts";
import { programCounter } from "@cdh/core/report/report";
import { tryParseAddress } from "@cdh/core/report/signal-words";
import { BUNDLE_HELP } from "./show.ts";

/** List threads. */
export class ThreadsCommand extends InspectCommand {
  static override paths = [["threads"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "every thread and where it was",
    details: `
      ${BUNDLE_HELP}

      The crashed thread comes first. Thread ids are those of the process's own pid namespace. \`bt\` prints the stacks.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [["The threads of the newest crash", "$0 threads s3://cores"]],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });

  override async run(): Promise<void> {
    const format = parseOutputFormat(this.output);
    await this.withSubject(this.bundle, async (subject) => {
      const { threads, modules } = await threadsAndModules(subject);
      const map = makeAddressMap(modules);
      const rows = threads.map((thread) => {
        const pc = programCounter(thread);
        const address = pc === undefined ? undefined : tryParseAddress(pc);
        const place = address === undefined ? undefined : map.find(address);
        return { ...thread, ...(place === undefined ? {} : { place: formatPlace(place) }) };
      });
      this.write(
        renderRows(format, "threads", rows, [
          { header: "TID", align: "right", value: (row) => String(row.tid) },
          { header: "STATE", value: (row) => (row.crashed === true ? "crashed" : "-") },
          { header: "PC", value: (row) => programCounter(row) ?? "-" },
          { header: "WHERE", value: (row) => row.place ?? "-" },
          { header: "SP", value: stackPointer },
        ]),
      );
    });
  }
}

function stackPointer({ registers }: ThreadFacts): string {
  return registers["sp"] ?? registers["rsp"] ?? registers["esp"] ?? "-";
}
