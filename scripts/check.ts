/**
 * Check everything that can be checked without running the programs: `npm run check`.
 *
 * Format, lint (boundaries included), types, and that no file names a registry's host or a machine's path.
 */
import { spawn } from "node:child_process";
import { root } from "./build/paths.ts";
import { checkTree, filesOf } from "./check/tree.ts";

interface Check {
  name: string;
  hint?: string;
  run(): Promise<string | undefined>;
}

/** Run a tool; give its output when it complains. */
function tool(command: string, ...args: string[]): () => Promise<string | undefined> {
  return () =>
    new Promise((resolve, reject) => {
      const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.on("error", reject);
      child.on("close", (status) => {
        resolve(status === 0 ? undefined : output.trim() || `${command} ended with status ${String(status)}`);
      });
    });
}

const checks: Check[] = [
  { name: "format", hint: "npm run format", run: tool("oxfmt", "--list-different") },
  { name: "lint", run: tool("oxlint", "--deny-warnings") },
  { name: "types", run: tool("tsc", "--noEmit", "-p", "tsconfig.json") },
  // In a browser there are other globals than in Node.
  { name: "types of the page", run: tool("tsc", "--noEmit", "-p", "packages/cdh-api/src/page/client/tsconfig.json") },
  {
    name: "tree",
    run: async () => {
      const findings = checkTree(root, filesOf(root));
      if (findings.length === 0) return undefined;
      return findings.map(({ file, line, message }) => `${file}:${line}: ${message}`).join("\n");
    },
  },
];

const results = await Promise.all(
  checks.map(async ({ name, hint, run }) => {
    const started = performance.now();
    const complaint = await run();
    return { name, hint, complaint, seconds: (performance.now() - started) / 1000 };
  }),
);
for (const { name, hint, complaint, seconds } of results) {
  console.log(`${complaint === undefined ? "ok  " : "FAIL"}  ${name}  ${seconds.toFixed(1)} s`);
  if (complaint === undefined) continue;
  console.log(complaint);
  if (hint !== undefined) console.log(`hint: ${hint}`);
  process.exitCode = 1;
}
