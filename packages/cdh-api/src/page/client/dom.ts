/** What an element is made of beside its children. */
export interface Attributes {
  class?: string | undefined;
  /** Listeners by event. */
  on?: Partial<Record<keyof HTMLElementEventMap, (event: Event) => void>>;
  [attribute: string]: unknown;
}

/** A child: text never becomes markup. */
export type Child = Node | string | number | undefined | false;

/** A child, or a list of them. */
export type Children = Child | readonly Child[];

/** Make an element. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  { on, ...attributes }: Attributes = {},
  ...children: readonly Children[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  for (const [event, listener] of Object.entries(on ?? {})) if (listener) element.addEventListener(event, listener);
  append(element, children);
  return element;
}

/** Make an element of a drawing. */
export function svg(
  tag: string,
  attributes: Record<string, unknown> = {},
  ...children: readonly Children[]
): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

/** Find an element that the page has for certain. @throws {Error} when it has not */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element as Type;
}

function setAttributes(element: Element, attributes: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Put children at the end of an element, however many there are. */
export function append(element: Element, children: readonly Children[]): void {
  for (const child of children.flat() as Child[]) {
    if (child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}
