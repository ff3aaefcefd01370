import fs from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { root } from "./paths.ts";

/**
 * Bundle the page of cdh-api for browsers.
 * @returns its files as texts; cdh-api carries them inside itself
 */
export async function bundlePage(): Promise<Record<string, string>> {
  const source = path.join(root, "packages", "cdh-api", "src", "page");
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [path.join(source, "client", "main.ts")],
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    logLevel: "warning",
  });
  const read = (name: string): string => fs.readFileSync(path.join(source, name), "utf8");
  return {
    "index.html": read("page.html"),
    "style.css": read("style.css"),
    "icon.svg": read("icon.svg"),
    "app.js": outputFiles[0]?.text ?? "",
  };
}
