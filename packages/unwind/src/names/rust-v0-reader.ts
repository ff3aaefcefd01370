import { NotAName } from "./bounded-text.ts";
import { decodePunycode } from "./punycode.ts";

/** An identifier, and which one of that name it is. */
export interface RustIdentifier {
  name: string;
  disambiguator: number;
}

/** Read the small pieces of a Rust v0 name: numbers, letters, identifiers. */
export class RustReader {
  at: number;
  readonly #text: string;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#text.length;
  }

  peek(): string {
    return this.#text[this.at] ?? "";
  }

  /** Take the next letter. @throws {NotAName} at the end */
  next(): string {
    const letter = this.peek();
    if (letter === "") throw new NotAName("ends");
    this.at += 1;
    return letter;
  }

  /** Take a letter when it is there. */
  eat(letter: string): boolean {
    if (this.peek() !== letter) return false;
    this.at += 1;
    return true;
  }

  /** `_` is 0, `0_` is 1 and so on. */
  base62(): number {
    if (this.eat("_")) return 0;
    let value = 0;
    for (let letter = this.next(); letter !== "_"; letter = this.next()) {
      const digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".indexOf(letter);
      // Hashes of crates are larger than a number can be exactly; nobody looks at those.
      value = value * 62 + digit;
      if (digit === -1 || value === Number.POSITIVE_INFINITY) throw new NotAName("base 62");
    }
    return value + 1;
  }

  /** A base-62 number behind a letter; 0 when the letter is not there. */
  optional62(letter: string): number {
    return this.eat(letter) ? this.base62() + 1 : 0;
  }

  /** Where a back reference points: always to something before it. */
  backReference(): number {
    const from = this.at - 1;
    const target = this.base62() + "_R".length;
    if (target >= from) throw new NotAName("back reference");
    return target;
  }

  /** Hexadecimal digits up to a `_`. */
  hexadecimal(): string {
    const found = /^[0-9a-f]*_/.exec(this.#text.slice(this.at, this.at + 65))?.[0];
    if (found === undefined) throw new NotAName("hexadecimal");
    this.at += found.length;
    return found.slice(0, -1).replace(/^0+(?=.)/, "");
  }

  identifier(): RustIdentifier {
    const disambiguator = this.optional62("s");
    return { name: this.plainIdentifier(), disambiguator };
  }

  plainIdentifier(): string {
    const isPunycode = this.eat("u");
    const digits = /^(0|[1-9]\d{0,4})/.exec(this.#text.slice(this.at, this.at + 5))?.[0];
    if (digits === undefined) throw new NotAName("length");
    this.at += digits.length;
    this.eat("_");
    const name = this.#text.slice(this.at, this.at + Number(digits));
    if (name.length !== Number(digits) || !/^\w*$/.test(name)) throw new NotAName("identifier");
    this.at += name.length;
    if (!isPunycode) return name;
    const last = name.lastIndexOf("_");
    return decodePunycode(last === -1 ? "" : name.slice(0, last), name.slice(last + 1));
  }
}
