import { createHash } from "node:crypto";

/** The page's files as texts, by the path below the page's own. */
export type PageAssets = Readonly<Record<string, string>>;

/** The build puts the bundled page here; absent when the program runs from its source. @see scripts/build/page.ts */
declare const __CDH_PAGE__: PageAssets | undefined;

/** One file that the server gives to anybody who asks: nothing in it is about a crash. */
export interface PageRoute {
  /** Absolute path. */
  path: string;
  contentType: string;
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/**
 * What the page may do: its own files and this server's API, and no markup made from texts.
 * @see https://www.w3.org/TR/CSP3/
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** List the page's files with everything that a server has to say about them. */
export function pageRoutes(assets: PageAssets = builtInPage()): PageRoute[] {
  return Object.entries(assets).map(([name, text]) => {
    const body = Buffer.from(text);
    return {
      path: name === "index.html" ? "/" : `/page/${name}`,
      contentType: TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream",
      headers: {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        // Asked again each time, answered with 304: a new release shows at once.
        "cache-control": "no-cache",
        etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`,
      },
      body,
    };
  });
}

function builtInPage(): PageAssets {
  return typeof __CDH_PAGE__ === "undefined" ? {} : __CDH_PAGE__;
}
