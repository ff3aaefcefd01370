import { sinceOf, type Query } from "./filter.ts";

const GROUP_PATH = "apis/core-dump-handler.dev/v1alpha1/";
const TOKEN_KEY = "cdh-token";

/** What the server refused, in its own words. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** One page of a list. */
export interface ListPage {
  items: unknown[];
  continue: string;
  /** How many come after this page; undefined when the server does not say. */
  remaining: number | undefined;
  /** Why the list may be old. */
  warning: string;
}

/** What is asked for, and where the page begins. */
export interface ListRequest {
  query: Query;
  limit: number;
  /** Token of the page; empty for the first. */
  from: string;
  /** Epoch milliseconds, the same for all pages of a list. */
  now: number;
}

/** The server, with the token of the person at the keyboard or, without one, whoever the proxy says it is. */
export class Api {
  #token: string | undefined;
  readonly #base: string;

  /** @param base where the page is; the API is below it, so that a proxy may put both below a path */
  constructor(base: string) {
    this.#base = base;
    this.#token = sessionStorage.getItem(TOKEN_KEY) ?? undefined;
  }

  get hasToken(): boolean {
    return this.#token !== undefined;
  }

  /** Use a token from now on. @param keep over a reload of this tab, and no longer */
  useToken(token: string, keep: boolean): void {
    this.#token = token;
    if (keep) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
  }

  forgetToken(): void {
    this.#token = undefined;
    sessionStorage.removeItem(TOKEN_KEY);
  }

  /** The address of a path that the server gave, or of one below the group. */
  url(path: string): string {
    return new URL(path.replace(/^\//, ""), this.#base).href;
  }

  /** The path of a crash, or of one of its parts. */
  pathOf({ namespace, name }: { namespace: string; name: string }, part = ""): string {
    const parts = `${GROUP_PATH}namespaces/${encodeURIComponent(namespace)}/coredumps/${encodeURIComponent(name)}`;
    return part === "" ? parts : `${parts}/${part}`;
  }

  /** Ask. @throws {ApiError} with status 0 when nobody answers */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    let answer: Response;
    try {
      answer = await fetch(this.url(path), { cache: "no-store", ...init, headers });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, "The server does not answer.");
    }
    if (!answer.ok) throw new ApiError(answer.status, await reasonOf(answer));
    return answer;
  }

  /** The path of a group. */
  bugPathOf({ namespace, name }: { namespace: string; name: string }): string {
    return `${GROUP_PATH}namespaces/${encodeURIComponent(namespace)}/crashgroups/${encodeURIComponent(name)}`;
  }

  /** Get one page of the groups. @param namespace empty for all of them @throws {ApiError} */
  async bugs(
    { namespace, limit, from }: { namespace: string; limit: number; from: string },
    signal: AbortSignal,
  ): Promise<ListPage> {
    const query = new URLSearchParams({ limit: String(limit), ...(from === "" ? {} : { continue: from }) });
    const scope = namespace === "" ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
    return await this.#page(`${GROUP_PATH}${scope}crashgroups?${query.toString()}`, signal);
  }

  /** Say something about a group. @returns the object as it is then @throws {ApiError} */
  async patchBug(bug: { namespace: string; name: string }, { state, resolvedIn }: BugChange): Promise<unknown> {
    const answer = await this.ask(this.bugPathOf(bug), {
      method: "PATCH",
      headers: { accept: "application/json", "content-type": "application/merge-patch+json" },
      body: JSON.stringify({
        metadata: {
          labels: { "core-dump-handler.dev/state": state },
          annotations: { "core-dump-handler.dev/resolved-in": resolvedIn },
        },
      }),
    });
    return await answer.json();
  }

  async #page(path: string, signal: AbortSignal): Promise<ListPage> {
    const answer = await this.ask(path, { headers: { accept: "application/json" }, signal });
    const body = (await answer.json()) as {
      items?: unknown[];
      metadata?: { continue?: string; remainingItemCount?: number };
    };
    return {
      items: body.items ?? [],
      continue: body.metadata?.continue ?? "",
      remaining: body.metadata?.remainingItemCount,
      warning: /^299 \S+ "(.*)"/.exec(answer.headers.get("warning") ?? "")?.[1] ?? "",
    };
  }

  /** Get one page of the list, the newest of all first. @throws {ApiError} */
  async list({ query: wanted, limit, from, now }: ListRequest, signal: AbortSignal): Promise<ListPage> {
    const { namespace } = wanted;
    const since = sinceOf(wanted, now);
    const selector = (["workload", "signal", "group"] as const).flatMap((key) =>
      wanted[key] === "" ? [] : `core-dump-handler.dev/${key}=${labelValue(wanted[key])}`,
    );
    const query = new URLSearchParams({
      order: "newest",
      limit: String(limit),
      ...(since === undefined ? {} : { since: new Date(since).toISOString() }),
      ...(selector.length === 0 ? {} : { labelSelector: selector.join(",") }),
      ...(from === "" ? {} : { continue: from }),
    });
    const scope = namespace === "" ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
    return await this.#page(`${GROUP_PATH}${scope}coredumps?${query.toString()}`, signal);
  }
}

/** A change of what people say about a group; null removes. */
export interface BugChange {
  state: string;
  resolvedIn: string | null;
}

/** What the server makes of a text that is no label's value. */
function labelValue(text: string): string {
  return text
    .replaceAll(/[^A-Za-z0-9_.-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 63)
    .replace(/[^A-Za-z0-9]+$/, "");
}

async function reasonOf(answer: Response): Promise<string> {
  try {
    const { message } = (await answer.json()) as { message?: string };
    if (typeof message === "string" && message !== "") return message;
  } catch {
    // Not the API's own answer: a proxy's, perhaps.
  }
  return `The server answers ${answer.status} ${answer.statusText}.`;
}
