import type { Manifest } from "@cdh/core/bundle/manifest";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { modulesToAsk, type OpensWith } from "@cdh/core/debug-files/opens-with";
import { buildIdsOf } from "@cdh/core/debug-files/referred";
import { tryParseJson, type JsonLimits } from "@cdh/core/json";
import { parseContainerNames } from "@cdh/core/report/bundle-logs";
import { renderHtml } from "@cdh/core/report/html";
import { PLAIN } from "@cdh/core/report/paint";
import { reportOf, type ReportExtras } from "@cdh/core/report/report";
import { renderText } from "@cdh/core/report/text";
import { GROUP_STATE_LIMITS, parseGroupState, type GroupState } from "./group-state.ts";
import { headOf, type ManifestHead } from "./head.ts";
import { parseJournal, type JournalEntry } from "./journal-entries.ts";
import { parseDates, parseLedger, type GoneLedger } from "./ledger.ts";
import { STATE_LIMITS } from "./state-limits.ts";

/** In which form a report is wanted. */
export type ReportFormat = "json" | "text" | "html";

/** What can be made of a document, and what is given beside its bytes: of a manifest, but where it says otherwise. */
export interface TaskInputs {
  head: undefined;
  detail: undefined;
  koredump: undefined;
  modules: undefined;
  buildIds: undefined;
  report: { extras: ReportExtras; format: ReportFormat; now: number };
  /** Of crictl's `ps`. */
  containers: undefined;
  /** Of retention's ledger: what it says of these pods. @see ledgerKeys */
  ledger: readonly string[];
  /** Of retention's list of files that nothing refers to. */
  fileLedger: undefined;
  /** Of retention's journals. */
  journal: undefined;
  /** Of what is said about a group. */
  groupState: undefined;
  /** Of a segment of the index: what its JSON may take. */
  segment: JsonLimits;
}

/** What comes of it: little, or text that is sent as it is. */
export interface TaskResults {
  head: ManifestHead;
  /** JSON texts of the object's `spec` and of its status's `problems`. */
  detail: { spec: string; problems: string };
  /** What koredump's record tells beyond a listing. */
  koredump: Pick<Manifest["process"], "gid" | "hostname" | "rlimitCoreBytes"> & { cmdline?: string; bootId?: string };
  /** Files of which the store is asked. */
  modules: OpensWith;
  /** Build-ids of the files that the crash needs; undefined when it does not say which. */
  buildIds: string[] | undefined;
  report: string;
  containers: (string | undefined)[];
  ledger: GoneLedger;
  /** By build-id and role, when it was first seen that nothing refers to it; epoch milliseconds. */
  fileLedger: [file: string, since: number][];
  journal: JournalEntry[];
  groupState: GroupState | undefined;
  /** For who reads segments to check; undefined when it is no JSON. */
  segment: unknown;
}

export type TaskName = keyof TaskInputs;

/**
 * Parse a document and make of it what is asked for. Nothing else in cdh-api parses what lies in the store.
 * @param label names it in messages
 * @throws {CdhError} CDH_BUNDLE_JSON, CDH_BUNDLE_SCHEMA
 */
export function runTask<Name extends TaskName>(
  name: Name,
  bytes: Uint8Array,
  label: string,
  input: TaskInputs[Name],
): TaskResults[Name] {
  const manifest = (): Manifest => parseManifest(bytes, label);
  const tasks: { [Each in TaskName]: (given: TaskInputs[Each]) => TaskResults[Each] } = {
    head: () => headOf(manifest(), label),
    detail: () => {
      const { schemaVersion: _version, bundle: _bundle, problems, ...spec } = manifest();
      return { spec: JSON.stringify(spec), problems: JSON.stringify(problems) };
    },
    koredump: () => koredumpOf(manifest()),
    modules: () => modulesToAsk(manifest()),
    buildIds: () => buildIdsOf(manifest()),
    report: ({ extras, format, now }) => {
      const report = reportOf(manifest(), extras);
      if (format === "json") return `${JSON.stringify(report)}\n`;
      return format === "text" ? renderText(report, PLAIN, now) : renderHtml(report);
    },
    containers: () => parseContainerNames(bytes),
    ledger: (keys) => parseLedger(tryParseJson(bytes, STATE_LIMITS), keys),
    fileLedger: () => parseDates(tryParseJson(bytes, STATE_LIMITS), "files"),
    journal: () => parseJournal(tryParseJson(bytes, STATE_LIMITS)),
    segment: (limits) => tryParseJson(bytes, limits),
    groupState: () => parseGroupState(tryParseJson(bytes, GROUP_STATE_LIMITS)),
  };
  return tasks[name](input);
}

function koredumpOf({ process: crashed, node }: Manifest): TaskResults["koredump"] {
  const { gid, hostname, rlimitCoreBytes, cmdline } = crashed;
  return {
    ...(gid === undefined ? {} : { gid }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(rlimitCoreBytes === undefined ? {} : { rlimitCoreBytes }),
    ...(cmdline === undefined ? {} : { cmdline: cmdline.join(" ") }),
    ...(node.bootId === undefined ? {} : { bootId: node.bootId }),
  };
}
