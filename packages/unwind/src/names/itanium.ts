import { BoundedText, NotAName } from "./bounded-text.ts";
import type { NameState } from "./itanium-cursor.ts";
import { Abbreviation, Nested, Node, Phrase, printList, Template, Text, type Printing } from "./itanium-nodes.ts";
import { OPERATORS } from "./itanium-tables.ts";
import { Encoding, Scoped } from "./itanium-type-nodes.ts";
import { ItaniumTypes } from "./itanium-types.ts";

/** Read a name of C++ as GCC and Clang write it. @throws {NotAName} */
export function demangleItanium(name: string): string {
  const node = new ItaniumNames(name, "_Z".length).whole();
  const out = new BoundedText();
  node.print({ out });
  if (out.text === "") throw new NotAName("nothing");
  return out.text;
}

/** Names that say what something is for. */
const SPECIAL_TYPES: Readonly<Record<string, string>> = {
  TV: "vtable for ",
  TT: "VTT for ",
  TI: "typeinfo for ",
  TS: "typeinfo name for ",
};
const SPECIAL_NAMES: Readonly<Record<string, string>> = {
  GV: "guard variable for ",
  TH: "TLS init function for ",
  TW: "TLS wrapper function for ",
};

class ConstructorName extends Phrase {}

/** A function without a name. */
class Lambda extends Node {
  readonly #parameters: readonly Node[];
  readonly #number: number;

  constructor(parameters: readonly Node[], number: number) {
    super();
    this.#parameters = parameters;
    this.#number = number;
  }

  protected override printLeft(to: Printing): void {
    to.out.add("{lambda(");
    printList(this.#parameters, { ...to, isInLambda: true });
    to.out.add(`)#${this.#number}}`);
  }
}

class ItaniumNames extends ItaniumTypes {
  whole(): Node {
    const node = this.encoding(true);
    if (!this.isAtEnd) this.fail("more");
    return node;
  }

  /** @param isTop whether the result of a template function is told */
  protected override encoding(isTop: boolean): Node {
    return this.within(() => {
      if (this.peek() === "T" || this.peek() === "G") return this.#special();
      const state: NameState = { hasNoResult: false, qualifiers: "" };
      const name = this.name(state);
      const node = this.isAtEnd || this.peek() === "E" ? name : this.#function(name, state, isTop);
      return state.args === undefined ? node : new Scoped(node, state.args);
    });
  }

  #function(name: Node, state: NameState, isTop: boolean): Node {
    const result = state.args !== undefined && !state.hasNoResult ? this.type() : undefined;
    const parameters: Node[] = [];
    if (!this.eat("v")) while (!this.isAtEnd && this.peek() !== "E") parameters.push(this.type());
    return new Encoding(isTop ? result : undefined, name, parameters, state.qualifiers);
  }

  #special(): Node {
    const code = this.take(2);
    const type = SPECIAL_TYPES[code];
    if (type !== undefined) return new Phrase(type, this.type());
    const name = SPECIAL_NAMES[code];
    if (name !== undefined) return new Phrase(name, this.name(undefined));
    if (code === "Th" || code === "Tv") {
      this.at -= 1;
      this.#callOffset();
      return new Phrase(`${code === "Th" ? "non-virtual" : "virtual"} thunk to `, this.encoding(false));
    }
    if (code === "Tc") {
      this.#callOffset();
      this.#callOffset();
      return new Phrase("covariant return thunk to ", this.encoding(false));
    }
    if (code === "TC") {
      const derived = this.type();
      this.match(/^\d+/);
      this.expect("_");
      return new Phrase("construction vtable for ", this.type(), "-in-", derived);
    }
    if (code === "GR") {
      const object = this.name(undefined);
      return new Phrase(`reference temporary #${this.isAtEnd ? 0 : this.sequence(36)} for `, object);
    }
    if (code === "GT") {
      const isSafe = this.take(1) === "t";
      return new Phrase(isSafe ? "transaction clone for " : "non-transaction clone for ", this.encoding(false));
    }
    return this.fail("special name");
  }

  #callOffset(): void {
    if (this.match(/^h(n?\d+)_/) === undefined && this.match(/^vn?\d+_n?\d+_/) === undefined) this.fail("offset");
  }

  protected override name(state: NameState | undefined): Node {
    return this.within(() => {
      if (this.eat("N")) return this.#nestedName(state);
      if (this.eat("Z")) return this.#localName(state);
      const isSubstitution = this.peek() === "S" && this.peek(1) !== "t";
      const found = isSubstitution ? this.substitution() : this.#unscopedName(state);
      if (this.peek() !== "I") return isSubstitution ? this.fail("name") : found;
      if (!isSubstitution) this.remember(found);
      const args = this.templateArguments();
      if (state !== undefined) state.args = args;
      return new Template(found, args);
    });
  }

  #unscopedName(state: NameState | undefined): Node {
    if (!this.eat("St")) return this.#unqualifiedName(state, undefined);
    return new Nested(new Text("std"), this.#unqualifiedName(state, undefined));
  }

  #nestedName(state: NameState | undefined): Node {
    const qualifiers = this.qualifiersHere().map((one) => ` ${one}`);
    const reference = this.eat("O") ? " &&" : this.eat("R") ? " &" : "";
    if (state !== undefined) state.qualifiers = qualifiers.join("") + reference;
    let scope: Node | undefined;
    while (!this.eat("E")) {
      if (state !== undefined) state.args = undefined;
      if (this.peek() === "I" && scope !== undefined) {
        const args = this.templateArguments();
        scope = new Template(scope, args);
        if (state !== undefined) state.args = args;
      } else if (this.peek() === "T" && scope === undefined) scope = this.templateParameter();
      else if (scope === undefined && (this.eat("DT") || this.eat("Dt"))) scope = this.decltype();
      else if (this.eat("St") && scope === undefined) {
        scope = new Text("std");
        continue;
      } else if (this.peek() === "S" && scope === undefined) {
        scope = this.substitution();
        continue;
      } else {
        const name = this.#unqualifiedName(state, scope);
        scope = scope === undefined ? name : new Nested(fullBefore(scope, name), name);
      }
      this.remember(scope);
      this.eat("M");
    }
    // The whole name has a type behind it, and is not referred to alone.
    if (scope === undefined) this.fail("nested name");
    this.substitutions.pop();
    return scope;
  }

  #localName(state: NameState | undefined): Node {
    const encoding = this.encoding(false);
    this.expect("E");
    if (this.eat("s")) {
      this.#discriminator();
      return new Nested(encoding, new Text("string literal"));
    }
    if (this.eat("d")) {
      const number = this.sequence(10);
      return new Nested(encoding, new Nested(new Text(`{default arg#${number + 1}}`), this.name(state)));
    }
    const entity = this.name(state);
    this.#discriminator();
    return new Nested(encoding, entity);
  }

  #discriminator(): void {
    this.match(/^_(?:\d|_\d+_)/);
  }

  #unqualifiedName(state: NameState | undefined, scope: Node | undefined): Node {
    const letter = this.peek();
    // Internal linkage.
    if (letter === "L") this.at += 1;
    let name: Node;
    if (/\d/.test(this.peek())) name = new Text(this.sourceName());
    else if (this.looksAt("Ut") || this.looksAt("Ul")) name = this.#unnamedType();
    else if (scope !== undefined && this.match(/^C(?=[1-5I])|^D(?=[0-5])/) !== undefined)
      name = this.#constructorName(scope, state);
    else if (this.eat("DC")) {
      const names: Node[] = [];
      while (!this.eat("E")) names.push(new Text(this.sourceName()));
      name = Phrase.of(["[", ...names.flatMap((one, index) => (index === 0 ? [one] : [", ", one])), "]"]);
    } else if (/[a-z]/.test(letter)) {
      name = this.operatorName(state ?? { hasNoResult: false, qualifiers: "" });
    } else return this.fail("name");
    return this.tags(name);
  }

  #constructorName(scope: Node, state: NameState | undefined): Node {
    this.at -= 1;
    const isDestructor = this.take(1) === "D";
    const isInherited = this.eat("I");
    this.at += 1;
    // The base class whose constructor it is.
    if (isInherited) this.type();
    if (state !== undefined) state.hasNoResult = true;
    return new ConstructorName(isDestructor ? "~" : "", scope.base);
  }

  #unnamedType(): Node {
    const isLambda = this.take(2) === "Ul";
    if (!isLambda) return new Phrase(`{unnamed type#${this.sequence(10) + 1}}`);
    const parameters: Node[] = [];
    if (!this.eat("vE")) while (!this.eat("E")) parameters.push(this.type());
    return new Lambda(parameters, this.sequence(10) + 1);
  }

  protected override operatorName(state: NameState): Node {
    if (this.eat("cv")) return this.#conversion(state);
    if (this.eat("li")) return new Phrase(`operator"" ${this.sourceName()}`);
    if (this.match(/^v\d/) !== undefined) return new Phrase(`operator ${this.sourceName()}`);
    const [text] = OPERATORS[this.take(2)] ?? this.fail("operator");
    return new Text(`operator${/^[a-z]/.test(text) ? " " : ""}${text.trimEnd()}`);
  }

  #conversion(state: NameState): Node {
    state.hasNoResult = true;
    const was = this.isConversionType;
    this.isConversionType = true;
    const type = this.type();
    this.isConversionType = was;
    return new Phrase("operator ", type);
  }
}

/** `std::string` is written out before its constructor. */
function fullBefore(scope: Node, name: Node): Node {
  return scope instanceof Abbreviation && name instanceof ConstructorName ? new Text(scope.full) : scope;
}
