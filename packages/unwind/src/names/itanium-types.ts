import type { NameState } from "./itanium-cursor.ts";
import { ItaniumExpressions } from "./itanium-expressions.ts";
import { Abbreviation, type Node, Phrase, Tagged, Template, Text } from "./itanium-nodes.ts";
import { Expansion, Pack } from "./itanium-packs.ts";
import { ABBREVIATIONS, BUILTIN_TYPES, D_TYPES } from "./itanium-tables.ts";
import { ArrayOf, FunctionType, MemberPointer, Pointer, Qualified, Reference } from "./itanium-type-nodes.ts";

/** Read types and template arguments. */
export abstract class ItaniumTypes extends ItaniumExpressions {
  protected abstract name(state: NameState | undefined): Node;

  protected type(): Node {
    return this.within(() => this.#simpleType() ?? this.remember(this.#compoundType()));
  }

  /** Types that nothing refers back to: they are shorter themselves. */
  #simpleType(): Node | undefined {
    const letter = this.peek();
    const builtin = BUILTIN_TYPES[letter];
    if (builtin !== undefined) {
      this.at += 1;
      return new Text(builtin);
    }
    if (letter === "D") {
      const known = D_TYPES[this.peek(1)];
      if (known !== undefined) {
        this.at += 2;
        return new Text(known);
      }
      const float = this.match(/^DF\d{1,3}[_xb]/);
      if (float !== undefined) return new Text(`_Float${float.slice(2).replace("_", "")}`);
    }
    if (letter === "S" && this.peek(1) !== "t") {
      const found = this.substitution();
      if (this.peek() !== "I") return found;
      return this.remember(new Template(found, this.templateArguments()));
    }
    return undefined;
  }

  #compoundType(): Node {
    const letter = this.peek();
    if ("rVK".includes(letter)) return this.#qualifiedType();
    if (this.eat("P")) return new Pointer(this.type());
    if (this.eat("R")) return new Reference(this.type(), "&");
    if (this.eat("O")) return new Reference(this.type(), "&&");
    if (this.eat("C")) return new Phrase(this.type(), " _Complex");
    if (this.eat("G")) return new Phrase(this.type(), " _Imaginary");
    if (this.eat("U")) return this.#vendorType();
    if (this.eat("u")) return new Text(this.sourceName());
    if (this.eat("A")) return this.#array();
    if (this.eat("M")) return new MemberPointer(this.type(), this.type());
    if (letter === "F" || this.match(/^D[ox](?=.?F)/) !== undefined) return this.#functionType("");
    if (letter === "D") return this.#extendedType();
    if (letter === "T" && !/[sue]/.test(this.peek(1))) {
      const parameter = this.templateParameter();
      if (this.peek() !== "I" || this.isConversionType) return parameter;
      this.remember(parameter);
      return new Template(parameter, this.templateArguments());
    }
    if (letter === "T") this.at += 2;
    return this.name(undefined);
  }

  #qualifiedType(): Node {
    const qualifiers = this.qualifiersHere();
    if (qualifiers.length === 0) this.fail("qualifiers");
    if (this.peek() === "F") return this.#functionType(qualifiers.map((one) => ` ${one}`).join(""));
    return new Qualified(this.type(), qualifiers);
  }

  #vendorType(): Node {
    const name = this.sourceName();
    const args = this.peek() === "I" ? new Template(new Text(name), this.templateArguments()) : new Text(name);
    return new Phrase(this.type(), " ", args);
  }

  #array(): Node {
    const digits = this.match(/^\d+/);
    const dimension = digits === undefined ? (this.peek() === "_" ? undefined : this.expression()) : new Text(digits);
    this.expect("_");
    return new ArrayOf(this.type(), dimension);
  }

  #functionType(qualifiers: string): Node {
    const isNoexcept = this.eat("Do");
    this.expect("F");
    this.eat("Y");
    const result = this.type();
    const parameters: Node[] = [];
    let reference = "";
    while (!this.eat("E")) {
      if (this.eat("RE")) reference = " &";
      else if (this.eat("OE")) reference = " &&";
      else parameters.push(this.type());
      if (reference !== "") break;
    }
    const only = parameters.length === 1 ? parameters[0] : undefined;
    const list = only instanceof Text && only.text === "void" ? [] : parameters;
    return new FunctionType(result, list, `${qualifiers}${reference}${isNoexcept ? " noexcept" : ""}`);
  }

  #extendedType(): Node {
    if (this.eat("Dp")) return new Expansion(this.type());
    if (this.eat("Dt") || this.eat("DT")) return this.decltype();
    if (this.eat("Dv")) {
      const size = this.match(/^\d+/) ?? this.fail("vector");
      this.expect("_");
      return new Phrase(this.type(), ` __vector(${size})`);
    }
    if (this.looksAt("DoF")) return this.#functionType("");
    return this.fail("type");
  }

  /** What stands behind `Dt` and `DT`. */
  protected decltype(): Node {
    const expression = this.expression();
    this.expect("E");
    return new Phrase("decltype (", expression, ")");
  }

  protected substitution(): Node {
    this.expect("S");
    const short = ABBREVIATIONS[this.peek()];
    if (short !== undefined) {
      this.at += 1;
      const [name, full] = short;
      const found = new Abbreviation(name, full);
      const tagged = this.tags(found);
      return tagged === found ? found : this.remember(tagged);
    }
    return this.substitutions[this.sequence(36)] ?? this.fail("substitution");
  }

  protected tags(name: Node): Node {
    let tagged = name;
    while (this.eat("B")) tagged = new Tagged(tagged, this.sourceName());
    return tagged;
  }

  protected override templateArguments(): Node[] {
    return this.within(() => {
      this.expect("I");
      const was = this.isConversionType;
      this.isConversionType = false;
      const list: Node[] = [];
      while (!this.eat("E")) list.push(this.#templateArgument());
      this.isConversionType = was;
      return list;
    });
  }

  #templateArgument(): Node {
    if (this.eat("X")) {
      const found = this.expression();
      this.expect("E");
      return found;
    }
    if (this.eat("J")) {
      const elements: Node[] = [];
      while (!this.eat("E")) elements.push(this.#templateArgument());
      return new Pack(elements);
    }
    if (this.peek() === "L") return this.literal();
    return this.type();
  }
}
