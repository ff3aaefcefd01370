import { ItaniumCursor, type NameState } from "./itanium-cursor.ts";
import { Nested, Node, Phrase, Template, Text, type Printing } from "./itanium-nodes.ts";
import { Expansion, Pack, Parameter } from "./itanium-packs.ts";
import { BUILTIN_TYPES, OPERATORS } from "./itanium-tables.ts";
import { Encoding } from "./itanium-type-nodes.ts";

/** How literals of these types are written. */
const LITERAL_SUFFIXES: Readonly<Record<string, string>> = { i: "", j: "u", l: "l", m: "ul", x: "ll", y: "ull" };

/** A list in parentheses or braces. */
class Bracketed extends Node {
  readonly #list: Pack;
  readonly #brackets: readonly [string, string];

  constructor(list: readonly Node[], brackets: readonly [string, string]) {
    super();
    this.#list = new Pack(list);
    this.#brackets = brackets;
  }

  protected override printLeft(to: Printing): void {
    to.out.add(this.#brackets[0]);
    this.#list.print(to);
    to.out.add(this.#brackets[1]);
  }
}

/** An operand, in parentheses unless it is only a name. */
function operand(node: Node): Node {
  return node.isSimple || node instanceof Bracketed ? node : new Phrase("(", node, ")");
}

/** Read expressions in template arguments and in decltype. */
export abstract class ItaniumExpressions extends ItaniumCursor {
  protected abstract type(): Node;
  protected abstract encoding(isTop: boolean): Node;
  protected abstract templateArguments(): Node[];
  protected abstract operatorName(state: NameState): Node;

  /** A value: `5u`, `true`, `(Colour)2`, a function. */
  protected literal(): Node {
    this.expect("L");
    if (this.eat("_Z") || this.eat("Z")) {
      const found = this.encoding(false);
      this.expect("E");
      return found;
    }
    const letter = this.peek();
    const isBuiltin = letter in BUILTIN_TYPES;
    const type = this.type();
    if (letter === "D" && this.eat("E")) return new Text("nullptr");
    const sign = this.eat("n") ? "-" : "";
    const value = this.match(/^[0-9a-f]+/, 4096) ?? this.fail("value");
    this.expect("E");
    if (letter === "b" && /^[01]$/.test(value)) return new Text(value === "1" ? "true" : "false");
    const suffix = LITERAL_SUFFIXES[letter];
    if (suffix !== undefined) return new Phrase(`${sign}${value}${suffix}`);
    return new Phrase("(", type, `)${isBuiltin && "fdeg".includes(letter) ? `[${value}]` : `${sign}${value}`}`);
  }

  protected expression(): Node {
    return this.within(() => {
      const next = this.peek();
      if (next === "L") return this.literal();
      if (next === "T") return this.templateParameter();
      if (this.eat("sr")) return this.#scoped();
      if (this.eat("sp")) return new Expansion(this.expression());
      if (this.eat("sZ")) return this.#packSize();
      if (this.eat("fpT")) return new Text("this");
      if (next === "f" && /[pL]/.test(this.peek(1))) return this.#functionParameter();
      if (/\d/.test(next) || this.looksAt("on")) return this.#unresolvedName();
      return this.#operation();
    });
  }

  #expressionsUntil(end: string): Node[] {
    const list: Node[] = [];
    while (!this.eat(end)) list.push(this.expression());
    return list;
  }

  #operation(): Node {
    const code = this.take(2);
    const special = this.#special(code);
    if (special !== undefined) return special;
    const [text, operands] = OPERATORS[code] ?? this.fail("operator");
    if (code === "cl") return this.#call();
    if (operands === 1) {
      const isPostfix = (code === "pp" || code === "mm") && !this.eat("_");
      const inner = this.expression();
      // The address of a function is told without its parameters.
      const named = code === "ad" && inner instanceof Encoding && inner.name instanceof Nested;
      const shown = operand(named ? inner.name : inner);
      return isPostfix ? new Phrase(shown, text) : new Phrase(text, shown);
    }
    if (operands === 3) {
      if (code !== "qu") this.fail("new");
      return new Phrase(operand(this.expression()), "?", operand(this.expression()), " : ", operand(this.expression()));
    }
    const left = operand(this.expression());
    if (code === "ix") return new Phrase(left, "[", this.expression(), "]");
    const right = operand(this.expression());
    // Inside template arguments it would end them.
    return code === "gt" ? new Phrase("(", left, text, right, ")") : new Phrase(left, text, right);
  }

  #call(): Node {
    const called = this.expression();
    const name = called instanceof Encoding ? called.name : called;
    return new Phrase(operand(name), new Bracketed(this.#expressionsUntil("E"), ["(", ")"]));
  }

  #special(code: string): Node | undefined {
    if (code === "cv") {
      const type = this.type();
      const values = this.eat("_") ? this.#expressionsUntil("E") : [this.expression()];
      return new Phrase("(", type, ")", new Bracketed(values, ["(", ")"]));
    }
    const casts: Readonly<Record<string, string>> = {
      sc: "static_cast",
      dc: "dynamic_cast",
      cc: "const_cast",
      rc: "reinterpret_cast",
    };
    const cast = casts[code];
    if (cast !== undefined) return new Phrase(`${cast}<`, this.type(), ">(", this.expression(), ")");
    if (code === "st") return new Phrase("sizeof (", this.type(), ")");
    if (code === "sz") return new Phrase("sizeof ", operand(this.expression()));
    if (code === "at") return new Phrase("alignof (", this.type(), ")");
    if (code === "az") return new Phrase("alignof ", operand(this.expression()));
    if (code === "nx") return new Phrase("noexcept ", operand(this.expression()));
    if (code === "te") return new Phrase("typeid ", operand(this.expression()));
    if (code === "ti") return new Phrase("typeid (", this.type(), ")");
    if (code === "tr") return new Text("throw");
    if (code === "tw") return new Phrase("throw ", operand(this.expression()));
    if (code === "il") return new Bracketed(this.#expressionsUntil("E"), ["{", "}"]);
    if (code === "tl") return new Phrase(this.type(), new Bracketed(this.#expressionsUntil("E"), ["{", "}"]));
    return undefined;
  }

  /** `scope::name` where the scope depends on a parameter; it is written as a type, or as names up to an `E`. */
  #scoped(): Node {
    let scope: Node | undefined;
    if (this.eat("N")) scope = this.type();
    const isList = scope !== undefined || /\d/.test(this.peek());
    if (!isList) return this.#member(this.type());
    const from = this.at;
    const known = this.substitutions.length;
    while (/\d/.test(this.peek())) {
      const name = this.#unresolvedName();
      scope = scope === undefined ? name : new Nested(scope, name);
    }
    if (scope !== undefined && this.eat("E")) return this.#member(scope);
    this.at = from;
    this.substitutions.length = known;
    return this.#member(this.type());
  }

  #member(scope: Node): Node {
    const member = new Nested(scope, this.#unresolvedName(false));
    return this.peek() === "I" ? new Template(member, this.templateArguments()) : member;
  }

  #unresolvedName(withArguments = true): Node {
    this.eat("on");
    const state = { hasNoResult: false, qualifiers: "" };
    const name = /\d/.test(this.peek()) ? new Text(this.sourceName()) : this.operatorName(state);
    return withArguments && this.peek() === "I" ? new Template(name, this.templateArguments()) : name;
  }

  #packSize(): Node {
    const pack = this.peek() === "T" ? this.templateParameter() : this.#functionParameter();
    return new (class extends Node {
      protected override printLeft(to: Printing): void {
        const size = pack instanceof Parameter ? pack.packSize(to) : undefined;
        if (size === undefined) new Phrase("sizeof...(", pack, ")").print(to);
        else to.out.add(String(size));
      }
    })();
  }

  #functionParameter(): Node {
    const found = this.match(/^f(?:L\d{1,4})?p[rVK]*(\d{0,4})_/) ?? this.fail("parameter");
    const digits = /(\d*)_$/.exec(found)?.[1] ?? "";
    return new Text(`{parm#${digits === "" ? 1 : Number(digits) + 2}}`);
  }
}
