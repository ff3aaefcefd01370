import { isRecord } from "./records.ts";

/** What a value must be: a plain kind, one of some words, a list, an object of fields, or an object that is not looked into. */
export type Kind =
  | "text"
  | "number"
  | "flag"
  | "texts"
  | "textMap"
  | Literal<string | number>
  | Words<string>
  | ListOf<Shape>
  | Opaque<object>
  | Shape;

/** The fields of an object; those that need not be there are {@link Optional}. */
export interface Shape {
  readonly [field: string]: Kind | Optional<Kind>;
}

/** A field that may be absent, which means unknown. */
export class Optional<Of extends Kind> {
  readonly optionalKind: Of;
  constructor(kind: Of) {
    this.optionalKind = kind;
  }
}

/** Exactly one value. */
export class Literal<Value extends string | number> {
  readonly literal: Value;
  constructor(value: Value) {
    this.literal = value;
  }
}

/** A text that this version knows these words for; a newer writer may use others, so any text passes. */
export class Words<Word extends string> {
  readonly knownWords: readonly Word[];
  readonly fallback: Word;
  constructor(words: readonly Word[], fallback: Word) {
    this.knownWords = words;
    this.fallback = fallback;
  }
}

/** A list of objects. */
export class ListOf<Item extends Shape> {
  readonly listItem: Item;
  constructor(item: Item) {
    this.listItem = item;
  }
}

/** An object of another format, checked to be an object and no further. */
export class Opaque<Value extends object> {
  declare readonly opaqueType: Value;
}

/** Say that a field may be absent. */
export function optional<const Of extends Kind>(kind: Of): Optional<Of> {
  return new Optional(kind);
}

/** Write the shape of an object, with its literal types. */
export function shape<const Fields extends Shape>(fields: Fields): Fields {
  return fields;
}

type RequiredKeys<Fields> = {
  [Field in keyof Fields]: Fields[Field] extends Optional<Kind> ? never : Field;
}[keyof Fields];

type OptionalKeys<Fields> = Exclude<keyof Fields, RequiredKeys<Fields>>;

/** Mapped over `Pick`, so that an editor shows a field's comment at the type too. */
type Merged<Value> = { [Field in keyof Value]: Value[Field] };

/** The type of the objects that a shape describes. */
export type TypeOf<Of> = Of extends "text"
  ? string
  : Of extends "number"
    ? number
    : Of extends "flag"
      ? boolean
      : Of extends "texts"
        ? string[]
        : Of extends "textMap"
          ? Record<string, string>
          : Of extends Literal<infer Value>
            ? Value
            : Of extends Words<infer Word>
              ? Word
              : Of extends Opaque<infer Value>
                ? Value
                : Of extends ListOf<infer Item>
                  ? TypeOf<Item>[]
                  : Of extends Optional<infer Inner>
                    ? TypeOf<Inner>
                    : Merged<
                        { -readonly [Field in keyof Pick<Of, RequiredKeys<Of>>]: TypeOf<Of[Field]> } & {
                          -readonly [Field in keyof Pick<Of, OptionalKeys<Of>>]?: TypeOf<Of[Field]>;
                        }
                      >;

/**
 * Find what does not fit a shape. Unknown fields pass, and fields that are absent too: {@link fill} gives them.
 * @returns what is wrong, by the field's path; undefined when nothing is
 */
export function tryFindMisfit(value: Record<string, unknown>, fields: Shape, path = ""): string | undefined {
  for (const [field, declared] of Object.entries(fields)) {
    const found = value[field];
    const misfit = found === undefined ? undefined : misfitOf(found, kindOf(declared), `${path}${field}`);
    if (misfit !== undefined) return misfit;
  }
  return undefined;
}

/**
 * Give a value that fits a shape the required fields that it lacks: empty texts, lists and objects, zero, false. Items of
 * a list that lack one are left out, since whoever reads the list counts on them.
 */
export function fill<Fields extends Shape>(value: Record<string, unknown>, fields: Fields): TypeOf<Fields> {
  const filled = { ...value };
  for (const [field, declared] of Object.entries(fields)) {
    const found = value[field];
    const kind = kindOf(declared);
    if (found === undefined) {
      if (!(declared instanceof Optional)) filled[field] = emptyOf(kind);
    } else if (kind instanceof ListOf)
      filled[field] = (found as Record<string, unknown>[])
        .filter(isWhole(kind.listItem))
        .map((item) => fill(item, kind.listItem));
    else if (isShape(kind)) filled[field] = fill(found as Record<string, unknown>, kind);
  }
  return filled as TypeOf<Fields>;
}

/** Values for the fields of a shape, of which those that may be absent may be undefined too. */
export type Given<Fields> = { readonly [Field in RequiredKeys<Fields>]: TypeOf<Fields[Field]> } & {
  readonly [Field in OptionalKeys<Fields>]?: TypeOf<Fields[Field]> | undefined;
};

/** Take the fields of a shape out of a value, in the shape's order; what is undefined is left out. */
export function pick<Fields extends Shape>(fields: Fields, value: Given<Fields>): TypeOf<Fields> {
  const given = value as Record<string, unknown>;
  return Object.fromEntries(
    Object.keys(fields).flatMap((field) => (given[field] === undefined ? [] : [[field, given[field]]])),
  ) as TypeOf<Fields>;
}

function misfitOf(found: unknown, kind: Kind, at: string): string | undefined {
  if (kind instanceof ListOf) {
    if (!Array.isArray(found)) return `${at} is no list`;
    for (const [index, item] of found.entries()) {
      const misfit = misfitOf(item, kind.listItem, `${at}[${index}]`);
      if (misfit !== undefined) return misfit;
    }
    return undefined;
  }
  if (isShape(kind)) return isRecord(found) ? tryFindMisfit(found, kind, `${at}.`) : `${at} is no object`;
  return fits(found, kind) ? undefined : `${at} is not what it must be (${nameOf(kind)})`;
}

function fits(value: unknown, kind: Exclude<Kind, Shape | ListOf<Shape>>): boolean {
  if (kind instanceof Literal) return value === kind.literal;
  if (kind instanceof Opaque) return isRecord(value);
  if (kind === "text" || kind instanceof Words) return typeof value === "string";
  if (kind === "number") return typeof value === "number";
  if (kind === "flag") return typeof value === "boolean";
  if (kind === "texts") return Array.isArray(value) && value.every((item) => typeof item === "string");
  return isRecord(value) && Object.values(value).every((item) => typeof item === "string");
}

function emptyOf(kind: Kind): unknown {
  if (kind === "text") return "";
  if (kind === "number") return 0;
  if (kind === "flag") return false;
  if (kind === "texts" || kind instanceof ListOf) return [];
  if (kind instanceof Literal) return kind.literal;
  if (kind instanceof Words) return kind.fallback;
  return isShape(kind) ? fill({}, kind) : {};
}

function isWhole(item: Shape): (value: Record<string, unknown>) => boolean {
  const required = Object.keys(item).filter((field) => !(item[field] instanceof Optional));
  return (value) => required.every((field) => value[field] !== undefined);
}

function kindOf(declared: Kind | Optional<Kind>): Kind {
  return declared instanceof Optional ? declared.optionalKind : declared;
}

function isShape(kind: Kind): kind is Shape {
  const isOther = [Literal, Words, ListOf, Opaque].some((other) => kind instanceof other);
  return typeof kind === "object" && !isOther;
}

function nameOf(kind: Exclude<Kind, Shape | ListOf<Shape>>): string {
  if (kind instanceof Literal) return JSON.stringify(kind.literal);
  if (kind instanceof Words) return "text";
  return kind instanceof Opaque ? "object" : kind;
}
