import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/** Something in the tree that ties it to one machine or one registry. */
export interface Finding {
  file: string;
  line: number;
  message: string;
}

const LOCK_FILES = /(^|\/)(pnpm-lock\.yaml|package-lock\.json|npm-shrinkwrap\.json)$/;

/** Folders of machines that people work on; a path below one of them works nowhere else. */
const MACHINE_PATH =
  /(?<![\w.:{}/-])\/(work\/(main|shared)|root\/|home\/(?!node\b|nonroot\b|user\b|kubernetes\b)[a-z]|Users\/[A-Z]|tmp\/(probe|team)\/)/;

function* findingsIn(file: string, text: string): Generator<Finding> {
  const isLock = LOCK_FILES.test(file);
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    if (isLock && /https?:\/\/|"resolved"|^\s+tarball:/.test(content)) {
      yield { file, line, message: "a lock file names a host" };
    }
    if (!isLock && MACHINE_PATH.test(content)) yield { file, line, message: "a path of one machine" };
  }
}

/** List the files that are, or would be, in the repository. */
export function filesOf(folder: string): string[] {
  const text = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  return text.split("\0").filter((file) => file !== "" && fs.existsSync(path.join(folder, file)));
}

/** Find what names a host or a machine's path. Binary files are left out. */
export function checkTree(folder: string, files: readonly string[]): Finding[] {
  const found: Finding[] = [];
  for (const file of files) {
    const absolute = path.join(folder, file);
    if (!fs.lstatSync(absolute).isFile()) continue;
    const bytes = fs.readFileSync(absolute);
    if (!bytes.subarray(0, 8000).includes(0)) found.push(...findingsIn(file, bytes.toString("utf8")));
  }
  return found;
}
