import fs from "node:fs";
import path from "node:path";
import { root } from "../build/paths.ts";
import { cell, table } from "./markdown.ts";

const folder = path.join(root, "docs", "decisions");

/** Render docs/decisions/README.md, the list of the decision records, from their titles. */
export function renderDecisionsPage(): string {
  const pages = fs
    .readdirSync(folder)
    .filter((name) => /^\d{4}-.*\.md$/.test(name))
    .toSorted();
  return `# Decisions

<!-- Made by \`npm run docs\` from the records' titles. Do not edit. -->

One page for each choice that somebody will question: what was decided, what it cost, what was not taken.

${table(["", ""], pages.map(rowOf))}
`;
}

function rowOf(page: string): string[] {
  const [, number, title] = /^# (\d+)\. (.+)/.exec(fs.readFileSync(path.join(folder, page), "utf8")) ?? [];
  if (number === undefined || title === undefined) throw new Error(`docs/decisions/${page} has no title "# N. …"`);
  return [number, `[${cell(title)}](${page})`];
}
