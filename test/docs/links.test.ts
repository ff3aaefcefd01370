import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");

/** Markdown that people read: the first folder's and everything below docs. */
function pages(): string[] {
  return [...fs.globSync("*.md", { cwd: root }), ...fs.globSync("docs/**/*.md", { cwd: root })];
}

/** GitHub's name for a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

function anchors(file: string): string[] {
  const text = fs.readFileSync(file, "utf8").replaceAll(/^```.*?^```/gms, "");
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading ?? ""));
}

/** Links of a page to other places of the repository that lead nowhere. */
function broken(page: string): string[] {
  const text = fs.readFileSync(path.join(root, page), "utf8").replaceAll(/^```.*?^```/gms, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? "");
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [file = "", anchor] = link.split("#");
    const target = file === "" ? path.join(root, page) : path.resolve(root, path.dirname(page), file);
    if (!fs.existsSync(target)) return true;
    return anchor !== undefined && !anchors(target).includes(anchor);
  });
}

it("every link between pages leads somewhere", () => {
  expect(pages().length).toBeGreaterThan(8);
  expect(pages().flatMap((page) => broken(page).map((link) => `${page}: ${link}`))).toEqual([]);
});
