import { NotAName } from "./bounded-text.ts";
import { Node, printList, Text, type PackState, type Printing, type Resolved, type Shape } from "./itanium-nodes.ts";

/** The arguments that a pack of template parameters stands for, all of them. */
export class Pack extends Node {
  readonly elements: readonly Node[];

  constructor(elements: readonly Node[]) {
    super();
    this.elements = elements;
  }

  protected override printLeft(to: Printing): void {
    printList(this.elements, to);
  }
}

/** `T_`: an argument of the innermost template whose name is being printed. */
export class Parameter extends Node {
  readonly #index: number;

  constructor(index: number) {
    super();
    this.#index = index;
  }

  /** How many arguments it stands for; undefined when it is no pack. */
  packSize(to: Printing): number | undefined {
    const found = to.scope?.args[this.#index];
    return found instanceof Pack ? found.elements.length : undefined;
  }

  override shape(to: Printing): Shape {
    if (to.isInLambda === true) return undefined;
    const { node, to: there } = this.#argument(to);
    return to.out.within(() => node.shape(there));
  }

  override resolve(to: Printing): Resolved {
    if (to.isInLambda === true) return { node: this, to };
    const { node, to: there } = this.#argument(to);
    return to.out.within(() => node.resolve(there));
  }

  protected override printLeft(to: Printing): void {
    // A generic lambda's parameters have no names.
    if (to.isInLambda === true) {
      to.out.add(`auto:${this.#index + 1}`);
      return;
    }
    const { node, to: there } = this.#argument(to);
    node.left(there);
  }

  protected override printRight(to: Printing): void {
    if (to.isInLambda === true) return;
    const { node, to: there } = this.#argument(to);
    node.right(there);
  }

  #argument(to: Printing): Resolved {
    const { scope, pack } = to;
    const found = scope?.args[this.#index];
    if (scope === undefined || found === undefined) throw new NotAName("parameter");
    // What an argument itself refers to are arguments further out.
    const there = { ...to, scope: scope.outer };
    if (!(found instanceof Pack) || pack === undefined) return { node: found, to: there };
    pack.size ??= found.elements.length;
    return { node: found.elements[pack.index] ?? new Text(""), to: there };
  }
}

/** `pattern...`: the pattern for each element of the pack in it. */
export class Expansion extends Node {
  readonly #pattern: Node;

  constructor(pattern: Node) {
    super();
    this.#pattern = pattern;
  }

  protected override printLeft(to: Printing): void {
    const { out } = to;
    const start = out.length;
    const pack: PackState = { index: 0, size: undefined };
    this.#pattern.print({ ...to, pack });
    const { size } = pack;
    if (size === undefined) out.add("...");
    if (size === 0) out.cut(start);
    for (let index = 1; index < (size ?? 0); index += 1) {
      const before = out.length;
      out.add(", ");
      this.#pattern.print({ ...to, pack: { index, size } });
      if (out.length === before + 2) out.cut(before);
    }
  }
}
