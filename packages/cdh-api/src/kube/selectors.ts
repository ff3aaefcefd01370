import { badRequest } from "../http/api-error.ts";
import type { Resource } from "./resource.ts";

/** Decide whether an object is meant. */
export type Selector<Item> = (item: Item) => boolean;

/** Longer selectors are refused: each requirement costs time for each dump. */
const TEXT_MAX = 4096;
const REQUIREMENTS_MAX = 50;

const KEY = /^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/**
 * Read a label selector: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
 * @throws {ApiError} 400
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
 */
export function parseLabelSelector<Item>(text: string, { labelOf }: Pick<Resource<Item>, "labelOf">): Selector<Item> {
  const requirements = splitOutside(bounded(text, "label")).map((part) => parseRequirement(part, labelOf));
  return (item) => requirements.every((holds) => holds(item));
}

/**
 * Read a field selector: `metadata.name=x,spec.signal.name!=SIGABRT`. A backslash protects `\`, `,` and `=`.
 * @throws {ApiError} 400
 */
export function parseFieldSelector<Item>(text: string, { fields }: Pick<Resource<Item>, "fields">): Selector<Item> {
  const requirements = readFieldTerms(bounded(text, "field"), fields);
  return (item) => requirements.every(({ read, value, equal }) => (read(item) === value) === equal);
}

/** Find the one name that a field selector asks for; rights can be given on names. */
export function tryNameOfFieldSelector(text: string | undefined): string | undefined {
  return text === undefined ? undefined : /^metadata\.name==?([^,\\=!]+)$/.exec(text.trim())?.[1];
}

function bounded(text: string, kind: string): string {
  if (text.length > TEXT_MAX) throw badRequest(`the ${kind} selector is longer than ${TEXT_MAX} characters`);
  return text;
}

function limited<T>(parts: T[]): T[] {
  if (parts.length > REQUIREMENTS_MAX) throw badRequest(`a selector has at most ${REQUIREMENTS_MAX} requirements`);
  return parts;
}

/** Split at commas that are not between parentheses. */
function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at <= text.length; at += 1) {
    const char = text[at];
    if (char === "(") depth += 1;
    else if (char === ")") depth -= 1;
    else if (char === undefined || (char === "," && depth === 0)) {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return limited(parts.filter((part, _index, all) => part !== "" || all.length > 1));
}

function parseRequirement<Item>(text: string, labelOf: Resource<Item>["labelOf"]): Selector<Item> {
  const set = /^([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set !== null) {
    const key = checkKey(set[1] ?? "");
    const values = new Set((set[3] ?? "").split(",").map((value) => checkValue(value.trim())));
    if (set[2] === "in") return (item) => values.has(labelOf(item, key) ?? "\0");
    return (item) => !values.has(labelOf(item, key) ?? "\0");
  }
  const equality = /^([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*)$/.exec(text);
  if (equality !== null) {
    const key = checkKey(equality[1] ?? "");
    const value = checkValue(equality[3] ?? "");
    if (equality[2] === "!=") return (item) => labelOf(item, key) !== value;
    return (item) => labelOf(item, key) === value;
  }
  const exists = /^(!?)\s*([^\s!=(),]+)$/.exec(text);
  if (exists === null) throw badRequest(`cannot read the label selector at ${JSON.stringify(text.slice(0, 80))}`);
  const key = checkKey(exists[2] ?? "");
  const wanted = exists[1] === "";
  return (item) => (labelOf(item, key) !== undefined) === wanted;
}

function checkKey(key: string): string {
  if (!KEY.test(key)) throw badRequest(`not a label's key: ${JSON.stringify(key.slice(0, 80))}`);
  return key;
}

function checkValue(value: string): string {
  if (!VALUE.test(value)) throw badRequest(`not a label's value: ${JSON.stringify(value.slice(0, 80))}`);
  return value;
}

interface FieldTerm<Item> {
  read: (item: Item) => string;
  value: string;
  equal: boolean;
}

function readFieldTerms<Item>(text: string, fields: Resource<Item>["fields"]): FieldTerm<Item>[] {
  const terms = text
    .split(/(?<!\\)(?:\\\\)*,/)
    .map((term) => term.trim())
    .filter((term) => term !== "");
  return limited(terms).map((term) => {
    const match = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/s.exec(term);
    const name = match?.[1] ?? "";
    if (match === null) throw badRequest(`cannot read the field selector at ${JSON.stringify(term.slice(0, 80))}`);
    const read = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (read === undefined) throw badRequest(`field label not supported: ${JSON.stringify(name.slice(0, 80))}`);
    return { read, value: (match[3] ?? "").replaceAll(/\\([\\,=])/g, "$1"), equal: match[2] !== "!=" };
  });
}
