/**
 * Count how each package is laid out: `node scripts/rooms.ts [DIR]`. A room is a folder of `src` or a file beside them; an arrow
 * is a pair of rooms of which one imports from the other. Tests and what a build makes are left out. DIR: another checkout.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

interface Layout {
  files: number;
  lines: number;
  longest: number;
  /** Most files in one folder, the root of `src` included. */
  fullest: number;
  rooms: number;
  arrows: number;
}

function layoutOf(src: string): Layout {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter(
    (file) => /\.tsx?$/.test(file) && !/\.test\.ts$|(^|\/)testing\//.test(file),
  );
  const perFolder = new Map<string, number>();
  const rooms = new Set<string>();
  const arrows = new Set<string>();
  const lines: number[] = [];
  for (const file of files) {
    const text = readFileSync(join(src, file), "utf8");
    const room = roomOf(file);
    lines.push(text.split("\n").length - 1);
    rooms.add(room);
    perFolder.set(dirname(file), (perFolder.get(dirname(file)) ?? 0) + 1);
    for (const [, target = ""] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)) {
      const other = roomOf(normalize(join(dirname(file), target)));
      if (other !== room) arrows.add(`${room} ${other}`);
    }
  }
  return {
    files: files.length,
    lines: lines.reduce((sum, count) => sum + count, 0),
    longest: Math.max(...lines),
    fullest: Math.max(...perFolder.values()),
    rooms: rooms.size,
    arrows: arrows.size,
  };
}

/** First folder of a path, or the file itself. */
function roomOf(file: string): string {
  return file.split("/")[0] ?? file;
}

const packages = join(process.argv[2] ?? ".", "packages");
const columns = ["files", "lines", "longest", "fullest", "rooms", "arrows"] as const;
process.stdout.write(`| package | ${columns.join(" | ")} |\n|---|${columns.map(() => "---").join("|")}|\n`);
for (const name of readdirSync(packages).toSorted()) {
  const layout = layoutOf(join(packages, name, "src"));
  process.stdout.write(`| ${name} | ${columns.map((column) => layout[column]).join(" | ")} |\n`);
}
