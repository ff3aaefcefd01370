import { Node, printList, type Printing, type Shape } from "./itanium-nodes.ts";

/** A type with `const` and the like. */
export class Qualified extends Node {
  readonly child: Node;
  readonly #qualifiers: readonly string[];

  constructor(child: Node, qualifiers: readonly string[]) {
    super();
    this.child = child;
    this.#qualifiers = qualifiers;
  }

  override shape(to: Printing): Shape {
    return this.child.shape(to);
  }

  protected override printLeft(to: Printing): void {
    this.child.left(to);
    const child = this.child.resolve(to).node;
    for (const qualifier of this.#qualifiers) {
      // An argument that is const already is not made more so by its parameter.
      if (!(child instanceof Qualified && child.#qualifiers.includes(qualifier))) to.out.add(` ${qualifier}`);
    }
  }

  protected override printRight(to: Printing): void {
    this.child.right(to);
  }
}

/** What a pointer or a reference puts before the name. */
function openDeclarator(pointee: Node, symbol: string, to: Printing): void {
  pointee.left(to);
  const shape = pointee.shape(to);
  if (shape !== undefined) to.out.add(to.out.last === " " ? "(" : " (");
  to.out.add(symbol);
}

function closeDeclarator(pointee: Node, to: Printing): void {
  if (pointee.shape(to) !== undefined) to.out.add(")");
  pointee.right(to);
}

/** `T*`. */
export class Pointer extends Node {
  readonly #pointee: Node;

  constructor(pointee: Node) {
    super();
    this.#pointee = pointee;
  }

  protected override printLeft(to: Printing): void {
    openDeclarator(this.#pointee, "*", to);
  }

  protected override printRight(to: Printing): void {
    closeDeclarator(this.#pointee, to);
  }
}

/** `T&` or `T&&`; a reference to a reference is one. */
export class Reference extends Node {
  readonly #target: Node;
  readonly #symbol: "&" | "&&";

  constructor(target: Node, symbol: "&" | "&&") {
    super();
    this.#target = target;
    this.#symbol = symbol;
  }

  protected override printLeft(to: Printing): void {
    const { target, symbol, to: there } = this.#collapse(to);
    openDeclarator(target, symbol, there);
  }

  protected override printRight(to: Printing): void {
    const { target, to: there } = this.#collapse(to);
    closeDeclarator(target, there);
  }

  #collapse(to: Printing): { target: Node; symbol: "&" | "&&"; to: Printing } {
    const { node, to: there } = this.#target.resolve(to);
    if (!(node instanceof Reference)) return { target: this.#target, symbol: this.#symbol, to };
    const inner = to.out.within(() => node.#collapse(there));
    return inner.symbol === "&" ? inner : { ...inner, symbol: this.#symbol };
  }
}

/** `T Class::*`. */
export class MemberPointer extends Node {
  readonly #owner: Node;
  readonly #member: Node;

  constructor(owner: Node, member: Node) {
    super();
    this.#owner = owner;
    this.#member = member;
  }

  protected override printLeft(to: Printing): void {
    openDeclarator(this.#member, "", to);
    if (to.out.last !== "(" && to.out.last !== " ") to.out.add(" ");
    this.#owner.print(to);
    to.out.add("::*");
  }

  protected override printRight(to: Printing): void {
    closeDeclarator(this.#member, to);
  }
}

/** `T [10]`. */
export class ArrayOf extends Node {
  readonly #element: Node;
  readonly #dimension: Node | undefined;

  constructor(element: Node, dimension: Node | undefined) {
    super();
    this.#element = element;
    this.#dimension = dimension;
  }

  override shape(): Shape {
    return "array";
  }

  protected override printLeft(to: Printing): void {
    this.#element.left(to);
  }

  protected override printRight(to: Printing): void {
    to.out.add(to.out.last === "]" ? "[" : " [");
    this.#dimension?.print(to);
    to.out.add("]");
    this.#element.right(to);
  }
}

/** `R (A, B) const`. */
export class FunctionType extends Node {
  readonly #result: Node;
  readonly #parameters: readonly Node[];
  readonly #qualifiers: string;

  constructor(result: Node, parameters: readonly Node[], qualifiers: string) {
    super();
    this.#result = result;
    this.#parameters = parameters;
    this.#qualifiers = qualifiers;
  }

  override shape(): Shape {
    return "function";
  }

  protected override printLeft(to: Printing): void {
    this.#result.left(to);
    to.out.add(" ");
  }

  protected override printRight(to: Printing): void {
    to.out.add("(");
    printList(this.#parameters, to);
    to.out.add(`)${this.#qualifiers}`);
    this.#result.right(to);
  }
}

/** A function's whole name: `R name(A, B) const`. */
export class Encoding extends Node {
  readonly name: Node;
  readonly #result: Node | undefined;
  readonly #parameters: readonly Node[];
  readonly #qualifiers: string;

  constructor(result: Node | undefined, name: Node, parameters: readonly Node[], qualifiers: string) {
    super();
    this.name = name;
    this.#result = result;
    this.#parameters = parameters;
    this.#qualifiers = qualifiers;
  }

  override get base(): Node {
    return this.name.base;
  }

  protected override printLeft(to: Printing): void {
    this.#result?.left(to);
    if (this.#result !== undefined && this.#result.shape(to) === undefined) to.out.add(" ");
    this.name.print(to);
  }

  protected override printRight(to: Printing): void {
    to.out.add("(");
    printList(this.#parameters, to);
    to.out.add(")");
    this.#result?.right(to);
    to.out.add(this.#qualifiers);
  }
}

/** A name inside of which `T_` means its own template arguments. */
export class Scoped extends Node {
  readonly inner: Node;
  readonly #args: readonly Node[];

  constructor(inner: Node, args: readonly Node[]) {
    super();
    this.inner = inner;
    this.#args = args;
  }

  override get base(): Node {
    return this.inner.base;
  }

  protected override printLeft(to: Printing): void {
    this.inner.left(this.#inside(to));
  }

  protected override printRight(to: Printing): void {
    this.inner.right(this.#inside(to));
  }

  #inside(to: Printing): Printing {
    return { ...to, scope: { args: this.#args, outer: to.scope }, isInLambda: false };
  }
}
