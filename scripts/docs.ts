/**
 * Write the pages of docs that are made from the sources: `npm run docs`. With `--check` nothing is written, and the exit
 * status is 1 when a page is not what the sources say.
 */
import fs from "node:fs";
import path from "node:path";
import { root } from "./build/paths.ts";
import { renderConfigPage } from "./docs/config-page.ts";
import { renderDecisionsPage } from "./docs/decisions-page.ts";
import { renderErrorsPage } from "./docs/errors-page.ts";

const pages = {
  "docs/decisions/README.md": renderDecisionsPage(),
  "docs/reference/config.md": renderConfigPage(),
  "docs/reference/errors.md": renderErrorsPage(),
};
const checkOnly = process.argv.includes("--check");

for (const [name, text] of Object.entries(pages)) {
  const file = path.join(root, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const isFresh = fs.existsSync(file) && fs.readFileSync(file, "utf8") === text;
  if (!isFresh && !checkOnly) fs.writeFileSync(file, text);
  if (!isFresh && checkOnly) process.exitCode = 1;
  console.log(`${name}  ${isFresh ? "unchanged" : checkOnly ? "out of date: npm run docs" : "written"}`);
}
