import { Command, Option } from "clipanion";
import type { ThreadFacts } from "@cdh/core/bundle/manifest";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { renderRows, type Column } from "@cdh/core/output";
import { formatPlace, makeAddressMap } from "@cdh/core/report/address-map";
import { groupName, groupThreads, type ThreadGroup } from "@cdh/core/report/equal-stacks";
import { programCounter } from "@cdh/core/report/report";
import { tryParseAddress } from "@cdh/core/report/signal-words";
import { threadsAndModules, type ThreadsAndModules } from "../read/threads-modules.ts";
import { InspectCommand } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** List threads. */
export class ThreadsCommand extends InspectCommand {
  static override paths = [["threads"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "what the threads did, those with equal stacks together",
    details: `
      ${BUNDLE_HELP}

      Threads with equal stacks are one line, the crashed one first, then the most. \`--all\` gives each a line, with its program
      counter; so does JSON, and a bundle without stacks. Thread ids are those of the process's own pid namespace. \`bt\` prints
      the stacks in full.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when the core does not say all of them.
    `,
    examples: [
      ["What the threads of the newest crash did", "$0 threads s3://cores"],
      ["Each of them, and where it was", "$0 threads --all s3://cores"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = formatFlag();
  all = Option.Boolean("--all", false, { description: "a line for each thread" });

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    return this.withOpened(this.bundle, async (opened) => {
      const found = await threadsAndModules(opened);
      const groups = format === "table" && !this.all ? groupThreads(found) : [];
      this.write(
        groups.length > 0
          ? renderRows(format, "groups", groups, GROUP_COLUMNS)
          : renderRows(format, "threads", placed(found), THREAD_COLUMNS),
      );
      const { threads: remarks } = found.remarks;
      for (const remark of remarks) this.warn(remark);
      return remarks.length === 0 ? EXIT.ok : EXIT.incomplete;
    });
  }
}

type PlacedThread = ThreadFacts & { place?: string };

function placed({ threads, modules }: Pick<ThreadsAndModules, "threads" | "modules">): PlacedThread[] {
  const map = makeAddressMap(modules);
  return threads.map((thread) => {
    const pc = programCounter(thread);
    const address = pc === undefined ? undefined : tryParseAddress(pc);
    const place = address === undefined ? undefined : map.find(address);
    return { ...thread, ...(place === undefined ? {} : { place: formatPlace(place) }) };
  });
}

const THREAD_COLUMNS: Column<PlacedThread>[] = [
  { header: "TID", align: "right", value: (row) => String(row.tid) },
  { header: "STATE", value: (row) => (row.crashed === true ? "crashed" : "-") },
  { header: "PC", value: (row) => programCounter(row) ?? "-" },
  { header: "WHERE", value: (row) => row.place ?? "-" },
  { header: "SP", value: stackPointer },
];

const GROUP_COLUMNS: Column<ThreadGroup>[] = [
  { header: "THREADS", align: "right", value: ({ threads }) => String(threads.length) },
  { header: "STATE", value: ({ crashed }) => (crashed ? "crashed" : "-") },
  { header: "TID", align: "right", value: tidsOf },
  { header: "NAME", value: (group) => groupName(group) || "-" },
  { header: "STACK", value: ({ stack }) => stack },
];

/** The first thread's id, which `bt` and debuggers know it by. */
function tidsOf({ threads: [first, ...others] }: ThreadGroup): string {
  return `${first?.tid ?? "-"}${others.length === 0 ? "" : " …"}`;
}

function stackPointer({ registers }: ThreadFacts): string {
  return registers["sp"] ?? registers["rsp"] ?? registers["esp"] ?? "-";
}
