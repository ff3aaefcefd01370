import { BoundedText, NotAName } from "./bounded-text.ts";
import { BASIC_TYPES, character, fail, integer } from "./rust-v0-literals.ts";
import { RustReader } from "./rust-v0-reader.ts";

/** Read a name of Rust's scheme v0. Hashes of crates are left out. @throws {NotAName} */
export function demangleRustV0(name: string): string {
  // A number here would be a later version of the scheme.
  if (!/^_R[A-Z]/.test(name)) throw new NotAName("version");
  const printer = new RustV0(name);
  printer.path(true);
  // The crate that made this copy of a generic function says nothing about it.
  if (!printer.isAtEnd) printer.silently(() => printer.path(false));
  if (!printer.isAtEnd) throw new NotAName("more");
  return printer.text;
}

class RustV0 {
  readonly #read: RustReader;
  #out = new BoundedText();
  #isSilent = false;
  #boundLifetimes = 0;

  constructor(name: string) {
    this.#read = new RustReader(name, "_R".length);
  }

  get text(): string {
    return this.#out.text;
  }

  get isAtEnd(): boolean {
    return this.#read.isAtEnd;
  }

  silently(work: () => void): void {
    const was = this.#isSilent;
    this.#isSilent = true;
    work();
    this.#isSilent = was;
  }

  /** @param isValue whether arguments need `::` before them */
  path(isValue: boolean): void {
    this.#out.within(() => {
      const read = this.#read;
      const tag = read.next();
      if (tag === "C") this.#add(read.identifier().name);
      else if (tag === "N") this.#nested(isValue);
      else if (tag === "M" || tag === "X") {
        this.silently(() => {
          read.optional62("s");
          this.path(false);
        });
        this.#implementation(tag === "X");
      } else if (tag === "Y") this.#implementation(true);
      else if (tag === "I") {
        this.path(isValue);
        this.#add(isValue ? "::<" : "<");
        this.#list(() => this.#argument());
        this.#add(">");
      } else if (tag === "B") this.#backReference(() => this.path(isValue));
      else throw new NotAName("path");
    });
  }

  #add(text: string): void {
    if (!this.#isSilent) this.#out.add(text);
  }

  #nested(isValue: boolean): void {
    const namespace = this.#read.next();
    if (!/[A-Za-z]/.test(namespace)) throw new NotAName("namespace");
    this.path(isValue);
    const { name, disambiguator } = this.#read.identifier();
    if (/[a-z]/.test(namespace)) {
      if (name !== "") this.#add(`::${name}`);
      return;
    }
    const kind = namespace === "C" ? "closure" : namespace === "S" ? "shim" : namespace;
    this.#add(`::{${kind}${name === "" ? "" : `:${name}`}#${disambiguator}}`);
  }

  #implementation(hasTrait: boolean): void {
    this.#add("<");
    this.#type();
    if (hasTrait) {
      this.#add(" as ");
      this.path(false);
    }
    this.#add(">");
  }

  /** Print what is there up to an `E`, with commas. */
  #list(one: () => void): number {
    let count = 0;
    for (; !this.#read.eat("E"); count += 1) {
      if (count > 0) this.#add(", ");
      one();
    }
    return count;
  }

  #backReference(work: () => void): void {
    const target = this.#read.backReference();
    // What is not shown need not be read again.
    if (this.#isSilent) return;
    const after = this.#read.at;
    this.#read.at = target;
    work();
    this.#read.at = after;
  }

  #argument(): void {
    if (this.#read.eat("L")) this.#lifetime(this.#read.base62());
    else if (this.#read.eat("K")) this.#constant();
    else this.#type();
  }

  #lifetime(index: number): void {
    if (index === 0) {
      this.#add("'_");
      return;
    }
    const depth = this.#boundLifetimes - index;
    if (depth < 0) throw new NotAName("lifetime");
    this.#add(depth < 26 ? `'${String.fromCharCode(97 + depth)}` : `'_${depth}`);
  }

  /** `for<'a, 'b> `, and what it is said of. */
  #binder(work: () => void): void {
    const count = this.#read.optional62("G");
    if (count > 1000) throw new NotAName("lifetimes");
    const outer = this.#boundLifetimes;
    if (count > 0) {
      this.#add("for<");
      for (let index = 0; index < count; index += 1) {
        if (index > 0) this.#add(", ");
        this.#boundLifetimes += 1;
        this.#lifetime(1);
      }
      this.#add("> ");
    }
    work();
    this.#boundLifetimes = outer;
  }

  #type(): void {
    this.#out.within(() => {
      const read = this.#read;
      const tag = read.peek();
      const basic = BASIC_TYPES[tag];
      if (basic === undefined && !"ASTRQPOFDB".includes(tag)) {
        this.path(false);
        return;
      }
      read.next();
      if (basic !== undefined) this.#add(basic);
      else if (tag === "A" || tag === "S") this.#slice(tag === "A");
      else if (tag === "T") {
        this.#add("(");
        if (this.#list(() => this.#type()) === 1) this.#add(",");
        this.#add(")");
      } else if (tag === "R" || tag === "Q") {
        this.#add("&");
        const lifetime = read.eat("L") ? read.base62() : 0;
        if (lifetime > 0) {
          this.#lifetime(lifetime);
          this.#add(" ");
        }
        if (tag === "Q") this.#add("mut ");
        this.#type();
      } else if (tag === "P" || tag === "O") {
        this.#add(tag === "P" ? "*const " : "*mut ");
        this.#type();
      } else if (tag === "F") this.#binder(() => this.#functionType());
      else if (tag === "D") this.#dynamicType();
      else this.#backReference(() => this.#type());
    });
  }

  #slice(hasLength: boolean): void {
    this.#add("[");
    this.#type();
    if (hasLength) {
      this.#add("; ");
      this.#constant();
    }
    this.#add("]");
  }

  #functionType(): void {
    const read = this.#read;
    const isUnsafe = read.eat("U");
    if (isUnsafe) this.#add("unsafe ");
    if (read.eat("K")) {
      const abi = read.eat("C") ? "C" : read.plainIdentifier().replaceAll("_", "-");
      this.#add(`extern "${abi}" `);
    }
    this.#add("fn(");
    this.#list(() => this.#type());
    this.#add(")");
    // Nothing is returned.
    if (read.eat("u")) return;
    this.#add(" -> ");
    this.#type();
  }

  #dynamicType(): void {
    const read = this.#read;
    this.#add("dyn ");
    this.#binder(() => {
      for (let count = 0; !read.eat("E"); count += 1) {
        if (count > 0) this.#add(" + ");
        this.#dynamicTrait();
      }
    });
    if (!read.eat("L")) throw new NotAName("lifetime");
    const lifetime = read.base62();
    if (lifetime === 0) return;
    this.#add(" + ");
    this.#lifetime(lifetime);
  }

  #dynamicTrait(): void {
    let isOpen = this.#openPath();
    while (this.#read.eat("p")) {
      this.#add(isOpen ? ", " : "<");
      isOpen = true;
      this.#add(`${this.#read.plainIdentifier()} = `);
      this.#type();
    }
    if (isOpen) this.#add(">");
  }

  /** Print a path and leave its arguments' bracket open. @returns whether there is one */
  #openPath(): boolean {
    return this.#out.within(() => {
      const read = this.#read;
      if (read.eat("B")) {
        let isOpen = false;
        this.#backReference(() => {
          isOpen = this.#openPath();
        });
        return isOpen;
      }
      if (!read.eat("I")) {
        this.path(false);
        return false;
      }
      this.path(false);
      this.#add("<");
      this.#list(() => this.#argument());
      return true;
    });
  }

  #constant(): void {
    this.#out.within(() => {
      const read = this.#read;
      const tag = read.next();
      if (tag === "B") this.#backReference(() => this.#constant());
      else if (tag === "p") this.#add("_");
      else if ("aslxni".includes(tag) || "htmyoj".includes(tag)) {
        const isNegative = read.eat("n");
        this.#add(`${isNegative ? "-" : ""}${integer(read.hexadecimal())}`);
      } else if (tag === "b") this.#add(["false", "true"][Number(read.hexadecimal() || "2")] ?? fail());
      else if (tag === "c") this.#add(character(Number.parseInt(read.hexadecimal(), 16)));
      else fail();
    });
  }
}
