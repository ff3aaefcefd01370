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
  remaining: number;
  /** Why the list may be old. */
  warning: string;
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

  /** Get one page of the list, of a namespace or of all. @throws {ApiError} */
  async list(namespace: string, limit: number, from: string, signal: AbortSignal): Promise<ListPage> {
    const query = new URLSearchParams({ limit: String(limit), ...(from === "" ? {} : { continue: from }) });
    const scope = namespace === "" ? "" : `namespaces/${encodeURIComponent(namespace)}/`;
    const answer = await this.ask(`${GROUP_PATH}${scope}coredumps?${query.toString()}`, {
      headers: { accept: "application/json" },
      signal,
    });
    const body = (await answer.json()) as {
      items?: unknown[];
      metadata?: { continue?: string; remainingItemCount?: number };
    };
    return {
      items: body.items ?? [],
      continue: body.metadata?.continue ?? "",
      remaining: body.metadata?.remainingItemCount ?? 0,
      warning: /^299 \S+ "(.*)"/.exec(answer.headers.get("warning") ?? "")?.[1] ?? "",
    };
  }
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
