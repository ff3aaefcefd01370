import { cutText } from "../base/cut-text.ts";

/** IBM's default for FILENAME_TEMPLATE; readers take the executable from the third-last `-` part of it. */
export const DEFAULT_FILENAME_TEMPLATE = "{uuid}-dump-{timestamp}-{hostname}-{exe_name}-{pid}-{signal}";

/** Room for a name in bytes: with `.`, `.zip.partial` and the longest entry suffix it stays below NAME_MAX (255). */
export const NAME_MAX_BYTES = 200;

/** The variables that FILENAME_TEMPLATE may use; IBM's first, then ours. */
export const NAME_VARIABLES = [
  "uuid",
  "limit_size",
  "exe_name",
  "pid",
  "signal",
  "timestamp",
  "directory",
  "hostname",
  "pathname",
  "namespace",
  "podname",
  "node",
  "container",
  "exe_build_id",
  "date",
] as const;

/** A variable in a template: its name in one or two pairs of braces. */
const VARIABLE = /\{\{?([^{}]*)\}?\}/g;

/** Values for a template; an unknown one is the empty text. */
export type NameVariables = Record<(typeof NAME_VARIABLES)[number], string>;

/** Hold a rendered name and what was wrong with the template. */
export interface RenderedName {
  name: string;
  /** Set when the template could not be used and the name is the bare uuid. */
  problem?: string;
}

/**
 * Render a bundle's name `N`. Total: a bad template gives the uuid and a problem. Values are made safe for file names
 * and object keys, and the whole begins with no dot and is at most {@link NAME_MAX_BYTES} long. The uuid is never lost: where
 * the template has none or it would be cut off, the name is cut before it and ends with it.
 */
export function renderName(template: string, variables: NameVariables): RenderedName {
  // Braces in a value are the crashed process's own and mean nothing: only the template is judged.
  let problem = /[{}]/.test(template.replaceAll(VARIABLE, "")) ? "unbalanced braces" : undefined;
  const rendered = template.replaceAll(VARIABLE, (_match, key: string) => {
    const name = NAME_VARIABLES.find((known) => known === key.trim());
    if (name === undefined) {
      problem ??= `unknown variable {${key.trim()}}`;
      return "";
    }
    return sanitise(variables[name]);
  });
  // What begins with a dot is hidden from every reader of the spool.
  const name = sanitise(rendered).replace(/^\.+/, "_");
  if (problem === undefined && name === "") problem = "the name is empty";
  if (problem !== undefined) return { name: variables.uuid, problem: `FILENAME_TEMPLATE: ${problem}` };
  return { name: shorten(name, variables.uuid) };
}

/** Replace what may not stand in a file name or an object key: separators, control bytes, broken UTF-16. */
function sanitise(value: string): string {
  return (
    value
      .toWellFormed()
      // eslint-disable-next-line no-control-regex -- control characters are exactly what must go
      .replaceAll(/[/\\\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd]/g, "_")
  );
}

/**
 * Cut a name to size. Two crashes must never share a name, and only the uuid tells them apart, so a cut name keeps it.
 */
function shorten(name: string, uuid: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes <= NAME_MAX_BYTES && name.includes(uuid)) return name;
  if (name.startsWith(uuid)) return cutText(name, NAME_MAX_BYTES);
  return `${cutText(name.replaceAll(uuid, ""), NAME_MAX_BYTES - uuid.length - 1)}-${uuid}`;
}
