import fs from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { BuildError, type BuildResult } from "./composer.ts";
import { hashInputs, isFresh, writeStamp } from "./inputs.ts";
import { INSPECT_ALIAS } from "./inspect-alias.ts";
import { lazyBuiltins } from "./lazy-builtins.ts";
import { writeLicenses } from "./licenses.ts";
import { bundleManifestThread } from "./manifest-thread.ts";
import { isNameless, namedImports } from "./named-imports.ts";
import { bundlePage } from "./page.ts";
import { dist, root, toolBin } from "./paths.ts";

/**
 * Flags of V8 for each program. They stream, so nearly all garbage is young: with the smallest young generation an upload
 * of 400 MiB to MinIO peaks at 99–109 MB instead of 124–150, and takes as long (4–5 s, five runs each). The inspector
 * streams too: checking 2 GiB in MinIO peaks at 134 MiB instead of 177.
 */
const STREAMER_FLAGS = "--max-semi-space-size=1";
const FLAGS: Readonly<Record<string, string>> = {
  "cdh-sysctl": STREAMER_FLAGS,
  "cdh-inspect": STREAMER_FLAGS,
  // The API holds its index all the time: without the last flag V8 lets as much garbage gather beside it again.
  "cdh-api": `${STREAMER_FLAGS} --optimize-for-size --heap-growing-percent=20`,
  // What the uploader computes is computed in native code: its own code is never hot enough for optimised machine code to
  // pay, and without the two compilers it peaks 15 MB lower. That pays for a young generation that is collected 80 times
  // for 200 bundles of 5 MB, not 320 times as with --optimize-for-size (which allows one of 1 MB, whatever else is said):
  // a seventh less processor time for 10 MB more. The last flag is the API's: with 10,000 bundles that wait it peaks at
  // 106 MiB instead of 139.
  "cdh-upload": "--max-semi-space-size=4 --heap-growing-percent=20 --no-opt --no-maglev",
};

/** Programs with libraries that only some of their users need. `cdh-sysctl` finds the composer from where its own file is. */
const OPENS_STORES: ReadonlySet<string> = new Set(["cdh-api", "cdh-inspect", "cdh-upload"]);

/** A program under another name is kubectl's plugin: the name of its bundle tells it which one it is. */
const PLUGIN_CASE: Readonly<Record<string, string>> = {
  "cdh-inspect": `case \${0##*/} in
  kubectl-coredump | kubectl_coredump) program=kubectl-coredump ;;
esac
`,
};

/** CommonJS dependencies inside an ES module bundle still call `require` for Node's own modules. */
const REQUIRE_BANNER =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** A launcher that needs nothing but a POSIX shell: no PATH, no working directory, no environment. */
function launcher(program: string): string {
  return `#!/bin/sh
# Runs ${program} with the Node that was built in beside it. Follows symbolic links to find it.
case $0 in
  */*) self=$0 ;;
  *) self=./$0 ;;
esac
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in
    /*) self=$target ;;
    *) self=\${self%/*}/$target ;;
  esac
done
here=\${self%/*}
program=${program}
${PLUGIN_CASE[program] ?? ""}exec "$here/../node/bin/node" ${FLAGS[program] ?? ""} "$here/../lib/$program.mjs" "$@"
`;
}

function replaceFile(file: string, write: (draft: string) => void): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.partial`);
  fs.rmSync(draft, { force: true });
  write(draft);
  fs.renameSync(draft, file);
}

/** Put the pinned Node into `dist/node/bin`, as a hard link where the file system allows it. */
export function placeNode(): BuildResult {
  const output = path.join(dist, "node", "bin", "node");
  const source = fs.realpathSync(path.join(toolBin, "node"));
  const wanted = fs.statSync(source);
  const there = fs.statSync(output, { throwIfNoEntry: false });
  if (
    there !== undefined &&
    (there.ino === wanted.ino || (there.size === wanted.size && there.mtimeMs >= wanted.mtimeMs))
  ) {
    return { output, built: false };
  }
  replaceFile(output, (draft) => {
    try {
      fs.linkSync(source, draft);
    } catch {
      fs.copyFileSync(source, draft);
    }
  });
  const license = path.join(path.dirname(source), "..", "LICENSE");
  if (fs.existsSync(license)) fs.copyFileSync(license, path.join(dist, "node", "LICENSE"));
  return { output, built: true };
}

/** Remove the parts of a program that are none any more. */
function removeOthers(folder: string, kept: ReadonlySet<string>): void {
  if (!fs.existsSync(folder)) return;
  for (const name of fs.readdirSync(folder)) {
    const file = path.join(folder, name);
    if (!kept.has(file)) fs.rmSync(file);
  }
}

async function insideApi(): Promise<Record<string, string>> {
  return {
    __CDH_PAGE__: JSON.stringify(await bundlePage()),
    __CDH_MANIFEST_THREAD__: JSON.stringify(await bundleManifestThread()),
  };
}

/** Bundle a program to `dist/lib/<program>.mjs` and the files that it imports in `dist/lib/<program>.parts`, and make its launcher `dist/bin/<program>`. */
export async function buildNodeProgram(program: string): Promise<BuildResult> {
  const output = path.join(dist, "bin", program);
  const bundle = path.join(dist, "lib", `${program}.mjs`);
  const hash = hashInputs(program);
  const plugin = program === "cdh-inspect" ? [path.join(dist, "bin", "kubectl-coredump")] : [];
  if (isFresh(program, hash, [output, bundle, ...plugin])) return { output, built: false };

  const result = await build({
    absWorkingDir: root,
    entryPoints: [{ in: `packages/${program}/src/main.ts`, out: program }],
    outdir: path.join(dist, "lib"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // What is asked for by import() has files of its own: V8 reads every character of a file, used or not.
    splitting: OPENS_STORES.has(program),
    chunkNames: `${program}.parts/[name]-[hash]`,
    write: false,
    platform: "node",
    format: "esm",
    target: "node26",
    // Node's default order prefers CommonJS builds, which cannot be tree-shaken.
    mainFields: ["module", "main"],
    alias: INSPECT_ALIAS,
    plugins: [namedImports, lazyBuiltins],
    // Not minified: a stack names the functions, and a bundle is read once.
    minify: false,
    metafile: true,
    // The licences stand in their own file, with those of libraries that have no comment.
    legalComments: "none",
    banner: { js: REQUIRE_BANNER },
    // The page and a thread travel inside the program.
    ...(program === "cdh-api" ? { define: await insideApi() } : {}),
    logLevel: "warning",
  }).catch(() => {
    throw new BuildError("esbuild refuses it");
  });
  const nameless = result.outputFiles.find(({ text }) => isNameless(text));
  if (nameless !== undefined) throw new BuildError(`${nameless.path} is a CommonJS module that lost its names`);
  // The program last: until then the old one finds its parts, and so does the new one from then on.
  const written = result.outputFiles.toSorted((a, b) => Number(a.path === bundle) - Number(b.path === bundle));
  for (const file of written) replaceFile(file.path, (draft) => fs.writeFileSync(draft, file.contents));
  removeOthers(path.join(dist, "lib", `${program}.parts`), new Set(written.map((file) => file.path)));
  replaceFile(output, (draft) => fs.writeFileSync(draft, launcher(program), { mode: 0o755 }));
  if (program === "cdh-inspect") {
    replaceFile(path.join(dist, "lib", "kubectl-coredump.mjs"), (draft) => fs.symlinkSync("cdh-inspect.mjs", draft));
    replaceFile(path.join(dist, "bin", "kubectl-coredump"), (draft) => fs.symlinkSync("cdh-inspect", draft));
  }
  // The modules that the plugin makes stand for others, which are among the inputs themselves.
  const inputs = Object.entries(result.metafile.inputs).filter(([name]) => !name.startsWith("named-import:"));
  writeLicenses(program, Object.fromEntries(inputs));
  writeStamp(program, hash);
  return { output, built: true };
}
