import type { Json } from "./json.ts";

/** A column of the table that kubectl prints. */
export interface Column<Item> {
  name: string;
  type: string;
  format?: string;
  description: string;
  /** 0 always, 1 with `-o wide`. */
  priority: number;
  cell: (item: Item, now: number) => string;
}

/** What lists, watches, tables and selectors have to know of a kind of object. */
export interface Resource<Item> {
  readonly kind: string;
  readonly listKind: string;
  readonly columns: readonly Column<Item>[];
  /** What field selectors can ask for. */
  readonly fields: Readonly<Record<string, (item: Item) => string>>;
  /** Read one label; undefined when it does not have it. */
  labelOf(item: Item, key: string): string | undefined;
  /** @param revision another one than the item's own */
  metadataOf(item: Item, revision?: number): Json;
  /** The object as lists and watches show it. */
  summaryOf(item: Item, revision?: number): Json;
  revisionOf(item: Item): number;
}
