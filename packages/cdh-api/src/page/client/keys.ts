import { byId } from "./dom.ts";

/** A list that keys move through. */
export interface KeyedList {
  move(by: number): void;
  focusSearch(): void;
}

/** What keys act on. */
export interface KeyTargets {
  /** The list, while it is shown. */
  list(): KeyedList | undefined;
  back(): void;
  reload(): void;
}

/** Listen to the keys that the help lists. Typing into a field is left alone. */
export function listenToKeys({ list, back, reload }: KeyTargets): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId<HTMLDialogElement>("help").open) return;
    const { target } = event;
    const field = target instanceof HTMLInputElement || target instanceof HTMLSelectElement ? target : undefined;
    if (field !== undefined) {
      if (event.key === "Escape") leave(field);
      else if (event.key === "Enter" && list() !== undefined) list()?.move(0);
      else return;
      event.preventDefault();
      return;
    }
    const acts: Record<string, () => void> = {
      "/": () => list()?.focusSearch(),
      j: () => list()?.move(1),
      ArrowDown: () => list()?.move(1),
      k: () => list()?.move(-1),
      ArrowUp: () => list()?.move(-1),
      g: () => list()?.move(-1e9),
      G: () => list()?.move(1e9),
      r: reload,
      "?": () => byId<HTMLDialogElement>("help").showModal(),
      Escape: back,
    };
    const act = acts[event.key];
    // Arrows scroll a page that is no list.
    if (act === undefined || (event.key.startsWith("Arrow") && list() === undefined)) return;
    act();
    event.preventDefault();
  });
}

function leave(field: HTMLInputElement | HTMLSelectElement): void {
  if (field instanceof HTMLInputElement && field.value !== "") {
    field.value = "";
    field.dispatchEvent(new Event("input"));
  } else field.blur();
}
