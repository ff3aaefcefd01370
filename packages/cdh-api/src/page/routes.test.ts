import { expect, it } from "vitest";
import { pageRoutes } from "./routes.ts";

it("gives each file its type, a strict policy and a name for its content", () => {
  const routes = pageRoutes({ "index.html": "<p>", "app.js": "1", "style.css": "p{}", "icon.svg": "<svg/>" });
  expect(routes.map(({ path, contentType }) => [path, contentType])).toEqual([
    ["/", "text/html; charset=utf-8"],
    ["/page/app.js", "text/javascript; charset=utf-8"],
    ["/page/style.css", "text/css; charset=utf-8"],
    ["/page/icon.svg", "image/svg+xml"],
  ]);
  for (const { headers } of routes) {
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(headers["content-security-policy"]).not.toMatch(/unsafe|\*|https?:|data:/);
    expect(headers["etag"]).toMatch(/^"[\w-]{22}"$/);
  }
  expect(new Set(routes.map(({ headers }) => headers["etag"])).size).toBe(4);
});

it("has no page when the program was not built", () => {
  expect(pageRoutes()).toEqual([]);
});
