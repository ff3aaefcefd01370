import { BoundedText, NotAName } from "./bounded-text.ts";
import type { Node } from "./itanium-nodes.ts";
import { Parameter } from "./itanium-packs.ts";

/** What a name tells of the function that it is the name of. */
export interface NameState {
  /** Constructors, destructors and conversions have no result in their names. */
  hasNoResult: boolean;
  /** What the name ends with; absent when it ends with no template arguments. */
  args?: readonly Node[] | undefined;
  /** Of a member function: ` const`, ` &`. */
  qualifiers: string;
}

/** Go through a mangled name letter by letter, and remember what it may refer back to. */
export abstract class ItaniumCursor {
  readonly #text: string;
  readonly #bounds = new BoundedText();
  protected at: number;
  /** What `S_`, `S0_` and so on stand for. */
  protected substitutions: Node[] = [];
  /** A conversion's type ends before template arguments: those are the operator's. */
  protected isConversionType = false;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  protected get isAtEnd(): boolean {
    return this.at >= this.#text.length;
  }

  protected peek(ahead = 0): string {
    return this.#text[this.at + ahead] ?? "";
  }

  protected looksAt(text: string): boolean {
    return this.#text.startsWith(text, this.at);
  }

  protected eat(text: string): boolean {
    if (!this.looksAt(text)) return false;
    this.at += text.length;
    return true;
  }

  protected expect(text: string): void {
    if (!this.eat(text)) this.fail(text);
  }

  protected fail(what: string): never {
    throw new NotAName(`${what} at ${this.at}`);
  }

  /** Take what a pattern matches here; the pattern starts with `^`. */
  protected match(pattern: RegExp, atMost = 64): string | undefined {
    const found = pattern.exec(this.#text.slice(this.at, this.at + atMost))?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  protected take(length: number): string {
    const text = this.#text.slice(this.at, this.at + length);
    if (text.length !== length) this.fail("text");
    this.at += length;
    return text;
  }

  /** Go one level deeper, within bounds. */
  protected within<Result>(work: () => Result): Result {
    return this.#bounds.within(work);
  }

  protected remember(node: Node): Node {
    this.substitutions.push(node);
    return node;
  }

  /** `_` is 0, `0_` is 1 and so on. */
  protected sequence(radix: 10 | 36): number {
    const digits = this.match(radix === 10 ? /^\d{0,6}_/ : /^[0-9A-Z]{0,6}_/) ?? this.fail("number");
    return digits === "_" ? 0 : Number.parseInt(digits, radix) + 1;
  }

  protected sourceName(): string {
    const length = this.match(/^[1-9]\d{0,4}/) ?? this.fail("length");
    const name = this.take(Number(length));
    return /^_GLOBAL_[._$]N/.test(name) ? "(anonymous namespace)" : name;
  }

  protected templateParameter(): Node {
    this.expect("T");
    const index = this.sequence(10);
    return new Parameter(index);
  }

  protected qualifiersHere(): string[] {
    const letters = this.match(/^r?V?K?/) ?? "";
    return [...letters].reverse().map((letter) => ({ r: "__restrict", V: "volatile", K: "const" })[letter] ?? "");
  }
}
