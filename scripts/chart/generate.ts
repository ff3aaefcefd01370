/**
 * Make the chart's values.schema.json and the tables of its README from the comments in values.yaml:
 * `node scripts/bootstrap.mjs -- node scripts/chart/generate.ts [--check]`.
 */
import fs from "node:fs";
import path from "node:path";
import { root } from "../build/paths.ts";
import { renderReadme, renderSchema } from "./render.ts";
import { readValues } from "./values.ts";

const chart = path.join(root, "charts", "core-dump-handler");
const read = (name: string): string => fs.readFileSync(path.join(chart, name), "utf8");

const values = readValues(read("values.yaml"));
const made: Record<string, string> = {
  "values.schema.json": renderSchema(values),
  "README.md": renderReadme(read("README.md"), values),
};

for (const [name, text] of Object.entries(made)) {
  const file = path.join(chart, name);
  if (fs.existsSync(file) && read(name) === text) continue;
  if (process.argv.includes("--check")) {
    console.error(`charts/core-dump-handler/${name} is not what values.yaml says: run scripts/chart/generate.ts`);
    process.exitCode = 1;
  } else {
    fs.writeFileSync(file, text);
    console.log(`charts/core-dump-handler/${name}  ${values.length} values`);
  }
}
