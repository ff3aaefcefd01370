import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
/**
 * Make the npm package of cdh-inspect: `node scripts/bootstrap.mjs -- node scripts/pack-inspect.ts [FOLDER]`.
 *
 * It has no dependencies, and runs on the oldest Node whose zlib knows zstd; an older one is told so, because npm only warns.
 * `npm publish` then takes cdh-inspect in the folder (dist/npm), or the tarball that this leaves beside it.
 */
import { build } from "esbuild";
import { INSPECT_ALIAS } from "./build/inspect-alias.ts";
import { dist, root } from "./build/paths.ts";

const REQUIRE_BANNER =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** zlib.zstdDecompress is in Node since 22.15 and 23.8. */
const ENGINES = ">=22.15.0 <23 || >=23.8.0";

/** What npm starts; written for any Node. 11 is the exit status for an environment that refuses. */
const LAUNCHER = `#!/usr/bin/env node
import zlib from "node:zlib";

if (typeof zlib.zstdDecompress === "function") await import("./main.mjs");
else {
  process.stderr.write(\`cdh-inspect: Node 22.15 or later is needed, this is \${process.version}\\n\`);
  process.exitCode = 11;
}
`;

const source = path.join(root, "packages", "cdh-inspect");
const output = path.join(path.resolve(process.argv[2] ?? path.join(dist, "npm")), "cdh-inspect");
const { version, license } = JSON.parse(fs.readFileSync(path.join(source, "package.json"), "utf8")) as {
  version: string;
  license: string;
};

fs.rmSync(output, { recursive: true, force: true });
fs.mkdirSync(output, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ["packages/cdh-inspect/src/main.ts"],
  outfile: path.join(output, "main.mjs"),
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22.15",
  mainFields: ["module", "main"],
  alias: INSPECT_ALIAS,
  legalComments: "none",
  banner: { js: REQUIRE_BANNER },
  logLevel: "warning",
});
// On Windows npm writes a script for each name that starts the file, so that only the file can tell which name it was.
for (const name of ["cdh-inspect", "kubectl-coredump"])
  fs.writeFileSync(path.join(output, `${name}.mjs`), LAUNCHER, { mode: 0o755 });
fs.copyFileSync(path.join(root, "LICENSE"), path.join(output, "LICENSE"));
fs.copyFileSync(path.join(dist, "licenses", "cdh-inspect.txt"), path.join(output, "THIRD-PARTY-LICENSES.txt"));
fs.copyFileSync(path.join(source, "README.md"), path.join(output, "README.md"));
const manifest = {
  name: "cdh-inspect",
  version,
  description: "Reads core dump bundles: what crashed, where and why",
  keywords: ["core-dump", "coredump", "debugging", "kubernetes", "gdb"],
  license,
  type: "module",
  bin: { "cdh-inspect": "cdh-inspect.mjs", "kubectl-coredump": "kubectl-coredump.mjs" },
  files: ["cdh-inspect.mjs", "kubectl-coredump.mjs", "main.mjs", "THIRD-PARTY-LICENSES.txt"],
  engines: { node: ENGINES },
};
fs.writeFileSync(path.join(output, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", path.dirname(output)], {
  cwd: output,
  encoding: "utf8",
});
console.log(path.join(path.dirname(output), packed.trim()));
