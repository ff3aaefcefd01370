import { ApiError, type Api } from "./api.ts";
import { parseBug, type Bug, type BugFilter } from "./bug.ts";
import { BugsView } from "./bugs-view.ts";
import { bugsHash } from "./route.ts";

/** The first page is small, so that something shows at once. */
const FIRST_ROWS = 200;
const PAGE_ROWS = 1000;
/** More than this is of no use to a person. */
const ROWS_MAX = 5000;
/** A name is typed letter by letter: the server is asked when the hand rests. */
const REST_MS = 350;

/** The page of all bugs: loads them, and asks the server again when another namespace is wanted. */
export class BugsPage {
  readonly view: BugsView;
  readonly #api: Api;
  readonly #fail: (error: unknown) => void;
  #loaded: { namespace: string; isCut: boolean } | undefined;
  #work = new AbortController();
  #resting: ReturnType<typeof setTimeout> | undefined;

  /** @param now epoch milliseconds @param fail told of what cannot be shown in the list */
  constructor(api: Api, now: () => number, fail: (error: unknown) => void) {
    this.#api = api;
    this.#fail = fail;
    this.view = new BugsView(now, (filter) => this.#filtered(filter));
  }

  /** Forget what is loaded. */
  reset(): void {
    this.leave();
    this.#loaded = undefined;
  }

  /** Stop what is on its way. */
  leave(): void {
    clearTimeout(this.#resting);
    this.#work.abort();
  }

  /** Show what a filter wants, loading it where it is not here. */
  async show(filter: BugFilter): Promise<void> {
    // What is not here yet must not look as if there was nothing.
    const isHere = this.#isHere(filter);
    if (!isHere) this.view.expectMore();
    this.view.filterBy(filter);
    if (!isHere) await this.#load(filter.namespace);
  }

  #filtered(filter: BugFilter): void {
    history.replaceState(null, "", bugsHash(filter));
    this.leave();
    if (this.#isHere(filter)) return;
    this.view.expectMore();
    this.#resting = setTimeout(() => void this.#load(filter.namespace), REST_MS);
  }

  #isHere({ namespace }: BugFilter): boolean {
    if (this.#loaded === undefined) return false;
    return this.#loaded.namespace === namespace || (this.#loaded.namespace === "" && !this.#loaded.isCut);
  }

  async #load(namespace: string): Promise<void> {
    this.#work.abort();
    const { signal } = (this.#work = new AbortController());
    try {
      await this.#loadPages(namespace, signal);
    } catch (error) {
      if (signal.aborted) return;
      const isRefused = error instanceof ApiError && error.status === 403;
      if (isRefused) this.#refuse(namespace);
      else if (this.#loaded !== undefined && error instanceof ApiError && error.status !== 401)
        this.view.warn(`${error.message.replace(/[.]?$/, ".")} This is what was loaded before.`);
      else this.#fail(error);
    }
  }

  async #loadPages(namespace: string, signal: AbortSignal): Promise<void> {
    const bugs: Bug[] = [];
    let from = "";
    do {
      const limit = from === "" ? FIRST_ROWS : Math.min(PAGE_ROWS, ROWS_MAX - bugs.length);
      const page = await this.#api.bugs({ namespace, limit, from }, signal);
      if (signal.aborted) return;
      for (const item of page.items) bugs.push(parseBug(item));
      from = page.continue;
      const isCut = bugs.length >= ROWS_MAX && from !== "";
      if (isCut) from = "";
      if (from === "") this.#loaded = { namespace, isCut };
      this.view.set({ bugs: [...bugs], isLoading: from !== "", isCut, warning: page.warning });
      this.view.update();
    } while (from !== "");
  }

  /** Not this, but perhaps another namespace: the list stays, and asks for it. */
  #refuse(namespace: string): void {
    this.#loaded = undefined;
    const all = "You may not list all namespaces at once: name one above.";
    const one = `You may not list the bugs of ${namespace}: name another namespace above.`;
    const wasHere = this.view.element.contains(document.activeElement);
    this.view.set({ bugs: [], isLoading: false, isCut: false, warning: namespace === "" ? all : one });
    if (!wasHere) document.getElementById("namespace")?.focus();
  }
}
