import fs from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import path from "node:path";
import type { Plugin } from "esbuild";

/** What esbuild writes for a CommonJS module that has a file of its own: only its default is left. */
const NAMELESS = /^export default require_\w+\(\);$/m;

/**
 * Give CommonJS modules that are asked for by `import()` their names, as Node does. In one file esbuild does it by itself;
 * in a file of its own such a module has a default only, and `(await import("https-proxy-agent")).HttpsProxyAgent` is undefined.
 * Names behind a getter are left out: those of `node:http` load a third of Node.
 */
export const namedImports: Plugin = {
  name: "named-imports",
  setup: (build) => {
    build.onResolve({ filter: /.*/ }, async ({ path: name, kind, importer, resolveDir, pluginData }) => {
      if (kind !== "dynamic-import" || !importer.includes("node_modules") || pluginData === namedImports) return null;
      if (/^(node:)?https?$/.test(name)) return { path: name, namespace: "named-import" };
      if (isBuiltin(name)) return null;
      const found = await build.resolve(name, { kind, importer, resolveDir, pluginData: namedImports });
      if (found.errors.length > 0 || found.external || found.namespace !== "file" || !isCommonJs(found.path))
        return found;
      return { path: found.path, namespace: "named-import" };
    });
    build.onLoad({ filter: /.*/, namespace: "named-import" }, ({ path: name }) => {
      const all = createRequire(import.meta.url)(name) as object;
      const names = Object.entries(Object.getOwnPropertyDescriptors(all)).flatMap(([key, { value }]) =>
        /^[A-Za-z_$][\w$]*$/.test(key) && !["default", "__esModule"].includes(key) && value !== undefined ? [key] : [],
      );
      const contents = [
        `const all = require(${JSON.stringify(name)});`,
        "export default all;",
        ...names.map((key, index) => `const name${index} = all.${key};\nexport { name${index} as ${key} };`),
      ].join("\n");
      return { contents, resolveDir: path.isAbsolute(name) ? path.dirname(name) : process.cwd() };
    });
  },
};

function isCommonJs(file: string): boolean {
  if (/\.c?js$/.test(file) && !/^\s*(import|export)\b/m.test(fs.readFileSync(file, "utf8"))) return true;
  return file.endsWith(".cjs");
}

/** Tell whether a file that was built is a CommonJS module without its names. */
export function isNameless(text: string): boolean {
  return NAMELESS.test(text);
}
