import type { Manifest } from "@cdh/core/bundle/manifest";
import { isRestricted } from "@cdh/core/bundle/restricted";
import { printable } from "@cdh/core/output";
import { describeNoMemory } from "@cdh/core/report/completeness";
import { crashHeadline } from "@cdh/core/report/crash-line";
import { formatBytes } from "@cdh/core/units";

/** Bytes of a message; the API server refuses longer ones. @see https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/core/validation/events.go */
export const MESSAGE_MAX = 1024;

/** Bytes of the end of a message: the beginning says something in any case. */
const END_MAX = 768;

/** The parts of a message: `end` is kept whole where the limit allows it, `begin` is cut for it. */
export interface EventText {
  begin: string;
  end: string;
}

/** Say of a bundle that is safe in the store what crashed, and with which command its reader sees more. */
export function describeStored(
  manifest: Manifest,
  stored: { sizeBytes: number; location: string; hasApi: boolean },
): EventText {
  const size = formatBytes(stored.sizeBytes);
  const none = describeNoMemory(manifest);
  const kept = none === undefined ? `core dump of ${size}` : `${none.finding} (${none.advice}); report of ${size}`;
  return { begin: describeCrash(manifest), end: `; ${kept}: ${showCommand(manifest, stored)}` };
}

/** What a person reads first: why and where. The signal's code says more only where the place is not known. */
export function describeCrash(manifest: Manifest): string {
  const { process, signal, container } = manifest;
  const who = process.exe ?? process.comm ?? "a process";
  const why = `${signal.name === "" ? "a signal" : signal.name}${signal.codeName === undefined ? "" : ` (${signal.codeName})`}`;
  const where = container?.name === undefined ? "" : ` in container ${container.name}`;
  const line = crashHeadline(manifest);
  const what = `${who} (pid ${process.pidInNamespace ?? process.pid ?? "unknown"})${where}`;
  return line === undefined ? `${what} crashed with ${why}` : `${line}: ${what}`;
}

/** Put a message together, safe to print and no longer than the API server takes. */
export function joinEventText({ begin, end }: EventText): string {
  const last = cutToBytes(printable(end), END_MAX);
  return cutToBytes(printable(begin), MESSAGE_MAX - Buffer.byteLength(last)) + last;
}

/**
 * The command that the Event's reader can type. What belongs to no proven pod, and what is restricted, cdh-api shows to
 * administrators only: they have the store.
 */
function showCommand(manifest: Manifest, { location, hasApi }: { location: string; hasApi: boolean }): string {
  const { crashId, pod, identity } = manifest;
  const isUuid = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(crashId);
  const beginning = crashId.slice(0, 8);
  if (hasApi && isUuid && pod?.namespace !== undefined && identity?.verified === true && !isRestricted(manifest))
    return `kubectl coredump show -n ${pod.namespace} ${beginning}`;
  const slash = location.lastIndexOf("/") + 1;
  const isNamedById = isUuid && location.startsWith(crashId, slash);
  return `cdh-inspect show ${quoted(isNamedById ? `${location.slice(0, slash)}${beginning}` : location)}`;
}

/** One word for a shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./~-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function cutToBytes(text: string, max: number): string {
  if (Buffer.byteLength(text) <= max) return text;
  let [bytes, cut] = [Buffer.byteLength("…"), ""];
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > max) break;
    cut += character;
  }
  return `${cut}…`;
}
