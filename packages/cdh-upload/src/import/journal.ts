import type { JsonObject } from "@cdh/core/base/records";
import { tryParseObject } from "@cdh/core/container/json";
import { run } from "@cdh/core/exec";

/** The message that systemd-coredump writes for each core. @see systemd, src/systemd/sd-messages.h, SD_MESSAGE_COREDUMP */
const MESSAGE_ID = "fc2e22bc6ee647b6b90729ab34a250b1";

/** Where systemd keeps its programs. */
const EXECUTABLES = ["/usr/lib/systemd/systemd-coredump", "/lib/systemd/systemd-coredump"];

/** The slice and the unit that PID 1 puts systemd-coredump into, in systemd's own spelling. */
const SLICE = "system-systemd\\x2dcoredump.slice";
const UNIT = /^systemd-coredump@[^/]+\.service$/;

const FIELDS = [
  "_TRANSPORT",
  "_EXE",
  "_SYSTEMD_SLICE",
  "_SYSTEMD_UNIT",
  "_SYSTEMD_CGROUP",
  "COREDUMP_FILENAME",
  "COREDUMP_CGROUP",
  "COREDUMP_PROC_CGROUP",
  "COREDUMP_HOSTNAME",
] as const;

/** Records of one core that are looked at: systemd-coredump writes one, anybody may write others. */
const RECORDS_MAX = 32;
const OUTPUT_MAX_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

/** What systemd-coredump said in the journal about one core. */
export interface JournalRecord {
  /** The crashed process's cgroup, as the text of its cgroup file. */
  cgroup: string;
  hostname?: string;
}

/** Where the journal is, and what reads it. */
export interface JournalOptions {
  /** The program, by path or name, and its first arguments. */
  journalctl: readonly [string, ...string[]];
  /** Directory of the node's journal, `/var/log/journal`. */
  directory: string;
  signal?: AbortSignal | undefined;
}

/**
 * Find systemd-coredump's own record of a core, by the core's file name. Everybody may write to the journal and name the
 * file there, and `_UID` is no help: systemd-coredump has taken the crashed process's user by then. What nobody can have
 * written is the unit and slice that journald read from the writer's cgroup, where PID 1 had put it. They are part of
 * the question too, so that no number of forged records hides the true one. On a busy node journald may come too late to
 * read them: then the record counts as nobody's.
 * @param path of the core as systemd-coredump named it
 * @returns undefined without such a record; a text that says why where the journal could not be read
 */
export async function findJournalRecord(
  path: string,
  options: JournalOptions,
): Promise<JournalRecord | string | undefined> {
  const { directory, signal } = options;
  const [program, ...first] = options.journalctl;
  const matches = [`MESSAGE_ID=${MESSAGE_ID}`, `COREDUMP_FILENAME=${path}`, `_SYSTEMD_SLICE=${SLICE}`];
  const words = ["--directory", directory, "--output=json", "--all", "--no-pager", "--quiet", `--lines=${RECORDS_MAX}`];
  const result = await run(program, [...first, ...words, `--output-fields=${FIELDS.join(",")}`, ...matches], {
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8" },
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: OUTPUT_MAX_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.notStarted !== undefined) return `${program} could not be started: ${result.notStarted}`;
  if (result.truncated || result.timedOut) return `${program} gave no usable answer`;
  if (result.failed) return `${program}: ${result.stderr.trim().split("\n").at(-1)?.slice(0, 300) ?? "failed"}`;
  const records = result.stdout
    .split("\n")
    .map((line) => tryParseObject(line))
    .filter((record) => record !== undefined);
  return records
    .filter((record) => isOwn(record, path))
    .map(recordOf)
    .find((record) => record !== undefined);
}

/** Tell whether systemd-coredump on the node wrote it, and nothing of its path in a container or a session. */
function isOwn(record: JsonObject, path: string): boolean {
  const text = (field: (typeof FIELDS)[number]): string => textOf(record, field) ?? "";
  const unit = text("_SYSTEMD_UNIT");
  return (
    text("_TRANSPORT") === "journal" &&
    // Gone already when a process ends with its message; the cgroup stays a moment longer.
    ["", ...EXECUTABLES].includes(text("_EXE")) &&
    text("_SYSTEMD_SLICE") === SLICE &&
    UNIT.test(unit) &&
    text("_SYSTEMD_CGROUP") === `/system.slice/${SLICE}/${unit}` &&
    text("COREDUMP_FILENAME") === path
  );
}

function recordOf(record: JsonObject): JournalRecord | undefined {
  const path = textOf(record, "COREDUMP_CGROUP");
  const cgroup = textOf(record, "COREDUMP_PROC_CGROUP") ?? (path === undefined ? undefined : `0::${path}\n`);
  const hostname = textOf(record, "COREDUMP_HOSTNAME");
  return cgroup === undefined ? undefined : { cgroup, ...(hostname === undefined ? {} : { hostname }) };
}

/** A field that came twice is a list, and one that is no text a list of bytes: neither says anything. */
function textOf(record: JsonObject, field: string): string | undefined {
  const value = record[field];
  return typeof value === "string" ? value : undefined;
}
