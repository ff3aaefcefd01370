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

One page for each choice that somebody will question: what was decided, what it cost, what was not taken. The date is that of the
decision; a record that another one replaces stays, and names it.

${table(["", "", "status", "date"], pages.map(rowOf))}
`;
}

/** Read a record's head. @throws {Error} when it lacks its title, its status or its date */
function rowOf(page: string): string[] {
  const text = fs.readFileSync(path.join(folder, page), "utf8");
  const [, number, title] = /^# (\d+)\. (.+)/.exec(text) ?? [];
  if (number === undefined || title === undefined) throw new Error(`docs/decisions/${page} has no title "# N. …"`);
  const head =
    /^# .+\n\nDate: (\d{4}-\d{2}-\d{2})\. Status: (accepted|replaced by \[decision \d+\]\((\d{4}-[\w-]+\.md)\))\.( .+)?\n\n/.exec(
      text,
    );
  const [, date, status, successor] = head ?? [];
  if (date === undefined || status === undefined)
    throw new Error(`docs/decisions/${page} does not begin with "Date: YYYY-MM-DD. Status: accepted."`);
  if (successor !== undefined && !fs.existsSync(path.join(folder, successor)))
    throw new Error(`docs/decisions/${page} is replaced by ${successor}, which is not there`);
  return [number, `[${cell(title)}](${page})`, status, date];
}
