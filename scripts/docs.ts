/**
 * Write the pages of docs/reference from the sources: `npm run docs`. With `--check` nothing is written, and the exit
 * status is 1 when a page is not what the sources say.
 */
import fs from "node:fs";
import path from "node:path";
import { root } from "./build/paths.ts";
import { renderConfigPage } from "./docs/config-page.ts";
import { renderErrorsPage } from "./docs/errors-page.ts";

const pages = { "config.md": renderConfigPage(), "errors.md": renderErrorsPage() };
const folder = path.join(root, "docs", "reference");
const checkOnly = process.argv.includes("--check");

fs.mkdirSync(folder, { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  const file = path.join(folder, name);
  const isFresh = fs.existsSync(file) && fs.readFileSync(file, "utf8") === text;
  if (!isFresh && !checkOnly) fs.writeFileSync(file, text);
  if (!isFresh && checkOnly) process.exitCode = 1;
  console.log(`docs/reference/${name}  ${isFresh ? "unchanged" : checkOnly ? "out of date: npm run docs" : "written"}`);
}
