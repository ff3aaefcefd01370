import { append, h } from "./dom.ts";

/** Rows beyond the window's edges, so that a fast scroll finds them drawn. */
const MARGIN_ROWS = 12;

/**
 * Show a long table by drawing only the rows in sight: ten thousand rows cost as much as fifty. The space of the others is
 * kept by an empty row before and one after.
 */
export class VirtualRows<Row> {
  readonly body: HTMLTableSectionElement = h("tbody");
  readonly #draw: (row: Row, index: number) => HTMLTableRowElement;
  readonly #before = space();
  readonly #after = space();
  #rows: readonly Row[] = [];
  #drawn = { start: 0, end: -1 };

  constructor(draw: (row: Row, index: number) => HTMLTableRowElement) {
    this.#draw = draw;
  }

  /** Show other rows. */
  set(rows: readonly Row[]): void {
    this.#rows = rows;
    this.#drawn = { start: 0, end: -1 };
    this.update();
  }

  /** Draw what is in sight now. */
  update(): void {
    const height = this.#rowHeight();
    const top = this.body.getBoundingClientRect().top;
    const start = Math.max(0, Math.floor(-top / height) - MARGIN_ROWS);
    const end = Math.min(this.#rows.length, Math.ceil((innerHeight - top) / height) + MARGIN_ROWS);
    this.#show(Math.min(start, this.#rows.length), Math.max(end, 0), height);
  }

  /** Put the focus on a row, wherever it is. */
  focus(index: number): void {
    const height = this.#rowHeight();
    const top = this.body.getBoundingClientRect().top + scrollY + index * height;
    const margin = 3 * height;
    if (top < scrollY + margin) scrollTo({ top: index === 0 ? 0 : top - margin });
    else if (top + height > scrollY + innerHeight - margin) scrollTo({ top: top + height + margin - innerHeight });
    this.update();
    const row = this.body.children[index - this.#drawn.start + 1];
    row?.querySelector("a")?.focus({ preventScroll: true });
  }

  /** Tell which row has the focus; -1 when none has. */
  focused(): number {
    const row = document.activeElement?.closest("tr");
    if (row?.parentElement !== this.body) return -1;
    return this.#drawn.start + [...this.body.children].indexOf(row) - 1;
  }

  #show(start: number, end: number, height: number): void {
    if (start === this.#drawn.start && end === this.#drawn.end) return;
    const kept = this.focused();
    this.#drawn = { start, end };
    const rows = this.#rows.slice(start, end).map((row, index) => this.#draw(row, start + index));
    this.#before.style.height = `${start * height}px`;
    this.#after.style.height = `${(this.#rows.length - end) * height}px`;
    this.body.replaceChildren();
    append(this.body, [this.#before, rows, this.#after]);
    if (kept >= start && kept < end)
      this.body.children[kept - start + 1]?.querySelector("a")?.focus({ preventScroll: true });
  }

  /** The style decides how high a row is, wide and narrow. */
  #rowHeight(): number {
    return matchMedia("(max-width: 50rem)").matches ? 84 : 36;
  }
}

function space(): HTMLTableRowElement {
  return h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
}
