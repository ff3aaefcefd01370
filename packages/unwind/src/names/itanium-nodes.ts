import type { BoundedText } from "./bounded-text.ts";

/** Which element of a parameter pack is being printed; the pack that is met first says how many there are. */
export interface PackState {
  index: number;
  size: number | undefined;
}

/** The arguments that template parameters stand for, innermost template first. */
export interface TemplateScope {
  args: readonly Node[];
  outer: TemplateScope | undefined;
}

/** Where a name is printed to, and what its parts mean there. */
export interface Printing {
  readonly out: BoundedText;
  readonly pack?: PackState;
  readonly scope?: TemplateScope | undefined;
  readonly isInLambda?: boolean;
}

/** What a part stands for, and where that is to be printed. */
export interface Resolved {
  node: Node;
  to: Printing;
}

/** What stands to the right of a declared name: `[10]`, `(int)`. */
export type Shape = "array" | "function" | undefined;

/** One part of a name. As in a declaration of C, a type has a left side and a right one. */
export abstract class Node {
  /** Whether it needs no parentheses in an expression. */
  get isSimple(): boolean {
    return false;
  }

  /** The name that a constructor of it has. */
  get base(): Node {
    return this;
  }

  print(to: Printing): void {
    this.left(to);
    this.right(to);
  }

  left(to: Printing): void {
    to.out.within(() => this.printLeft(to));
  }

  right(to: Printing): void {
    to.out.within(() => this.printRight(to));
  }

  shape(_to: Printing): Shape {
    return undefined;
  }

  /** What it stands for: a template parameter for its argument. */
  resolve(to: Printing): Resolved {
    return { node: this, to };
  }

  protected abstract printLeft(to: Printing): void;

  protected printRight(_to: Printing): void {
    // Most have nothing there.
  }
}

/** Plain text. */
export class Text extends Node {
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  override get isSimple(): boolean {
    return true;
  }

  protected override printLeft({ out }: Printing): void {
    out.add(this.text);
  }
}

/** Text with other parts in it. */
export class Phrase extends Node {
  #parts: readonly (string | Node)[];

  constructor(...parts: readonly (string | Node)[]) {
    super();
    this.#parts = parts;
  }

  /** Make one of a list whose length the name decides. */
  static of(parts: readonly (string | Node)[]): Phrase {
    const phrase = new Phrase();
    phrase.#parts = parts;
    return phrase;
  }

  protected override printLeft(to: Printing): void {
    for (const part of this.#parts) {
      if (typeof part === "string") to.out.add(part);
      else part.print(to);
    }
  }
}

/** `scope::name`. */
export class Nested extends Node {
  readonly #scope: Node;
  readonly #name: Node;

  constructor(scope: Node, name: Node) {
    super();
    this.#scope = scope;
    this.#name = name;
  }

  override get isSimple(): boolean {
    return true;
  }

  override get base(): Node {
    return this.#name.base;
  }

  protected override printLeft(to: Printing): void {
    this.#scope.print(to);
    to.out.add("::");
    this.#name.print(to);
  }
}

/** One of `std`'s that has a letter of its own; its constructor has the name that the short one stands for. */
export class Abbreviation extends Text {
  readonly full: string;

  constructor(text: string, full: string) {
    super(text);
    this.full = full;
  }

  override get base(): Node {
    return new Text(this.full.replace(/<.*$/, "").replace("std::", ""));
  }
}

/** `name[abi:tag]`. */
export class Tagged extends Node {
  readonly #name: Node;
  readonly #tag: string;

  constructor(name: Node, tag: string) {
    super();
    this.#name = name;
    this.#tag = tag;
  }

  override get base(): Node {
    return this.#name.base;
  }

  protected override printLeft(to: Printing): void {
    this.#name.print(to);
    to.out.add(`[abi:${this.#tag}]`);
  }
}

/** Print parts with commas; an empty pack leaves none. */
export function printList(list: readonly Node[], to: Printing): void {
  let isFirst = true;
  for (const node of list) {
    const before = to.out.length;
    if (!isFirst) to.out.add(", ");
    const after = to.out.length;
    node.print(to);
    if (to.out.length === after) to.out.cut(before);
    else isFirst = false;
  }
}

/** `name<arguments>`. */
export class Template extends Node {
  readonly #name: Node;
  readonly #args: readonly Node[];

  constructor(name: Node, args: readonly Node[]) {
    super();
    this.#name = name;
    this.#args = args;
  }

  override get isSimple(): boolean {
    return false;
  }

  override get base(): Node {
    return this.#name.base;
  }

  protected override printLeft(to: Printing): void {
    // A pack that is expanded around the name does not reach into it.
    this.#name.print(to);
    const { out } = to;
    // `operator< <int>`, and `>>` was an operator once.
    out.add(out.last === "<" ? " <" : "<");
    printList(this.#args, to);
    out.add(out.last === ">" ? " >" : ">");
  }
}
