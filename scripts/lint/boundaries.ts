import path from "node:path";
import { AMBIENT, OWNERSHIPS, tryLayerOf } from "./layers.ts";

/** The few parts of oxlint's plugin interface that are used here. */
interface Node {
  type: string;
  [key: string]: unknown;
}
interface Context {
  filename: string;
  cwd: string;
  report(finding: { node: Node; message: string }): void;
}

const CORE_SOURCE = "packages/core/src/";

function isTest(file: string): boolean {
  return file.endsWith(".test.ts") || file.startsWith(`${CORE_SOURCE}testing/`);
}

function packageOf(file: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(file)?.[1];
}

/** Say which file of the checkout an import means; undefined for libraries. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return path.posix.join(path.posix.dirname(file), specifier);
  const core = /^@cdh\/core\/(.+)$/.exec(specifier)?.[1];
  if (core !== undefined) return `${CORE_SOURCE}${core}.ts`;
  const other = /^@cdh\/([^/]+)/.exec(specifier)?.[1];
  return other === undefined ? undefined : `packages/${other}/src/main.ts`;
}

/** Say what is wrong with an import; undefined when nothing is. */
export function complaintAbout(file: string, specifier: string): string | undefined {
  const from = packageOf(file);
  if (from === undefined) return undefined;
  const target = targetOf(file, specifier);
  if (target === undefined) {
    if (isTest(file)) return undefined;
    const broken = OWNERSHIPS.find(({ library, owner }) => library.test(specifier) && !owner.test(file));
    return broken === undefined ? undefined : `\`${specifier}\` belongs to ${broken.said}`;
  }

  const to = packageOf(target);
  if (to === undefined) return isTest(file) ? undefined : "a package imports nothing from outside of packages/";
  if (from !== to && to !== "core") {
    return from === "core" ? "core imports no program" : "no program imports another program; share through core";
  }
  if (isTest(file)) return undefined;
  if (isTest(target)) return "only tests import tests and testing/";
  if (from !== "core") return undefined;

  const ownLayer = tryLayerOf(file.slice(CORE_SOURCE.length));
  const layer = tryLayerOf(target.slice(CORE_SOURCE.length));
  if (ownLayer === undefined || layer === undefined || layer <= ownLayer) return undefined;
  return `core's layer ${ownLayer} (${file.slice(CORE_SOURCE.length)}) must not import layer ${layer} (${target.slice(CORE_SOURCE.length)})`;
}

function relativeName(context: Context): string {
  return path.relative(context.cwd, context.filename).split(path.sep).join("/");
}

/** Match `name`, and `"name"` in brackets. */
function isNamed(node: unknown, name: string): boolean {
  const { type, name: identifier, value } = (node ?? {}) as { type?: string; name?: string; value?: unknown };
  return type === "Identifier" ? identifier === name : type === "Literal" && value === name;
}

/** Hold who may import what. */
const imports = {
  create(context: Context) {
    const file = relativeName(context);
    const look = (node: Node): void => {
      const source = node["source"] as Node | null;
      if (typeof source?.["value"] !== "string") return;
      const message = complaintAbout(file, source["value"]);
      if (message !== undefined) context.report({ node: source, message });
    };
    return {
      ImportDeclaration: look,
      ExportNamedDeclaration: look,
      ExportAllDeclaration: look,
      ImportExpression: look,
    };
  },
};

/** Every file of core has a layer, or a new folder would escape the order. */
const layered = {
  create(context: Context) {
    const file = relativeName(context);
    return {
      Program(node: Node): void {
        if (!file.startsWith(CORE_SOURCE) || isTest(file)) return;
        if (tryLayerOf(file.slice(CORE_SOURCE.length)) !== undefined) return;
        context.report({ node, message: `${file} has no layer: add it to scripts/lint/layers.ts` });
      },
    };
  },
};

/** Keep environment, exit, console and clock at the edge: everything else gets them passed in. */
const ambient = {
  create(context: Context) {
    const file = relativeName(context);
    if (packageOf(file) === undefined || isTest(file) || AMBIENT.test(file)) return {};
    const complain = (node: Node, what: string): void => {
      context.report({
        node,
        message: `${what} only in main.ts, cli.ts, clock.ts and exec.ts: take it from the context`,
      });
    };
    return {
      MemberExpression(node: Node): void {
        const { object, property } = node;
        for (const name of ["env", "exit"]) {
          if (isNamed(object, "process") && isNamed(property, name)) complain(node, `process.${name}`);
        }
        if (isNamed(object, "console")) complain(node, "console");
        if (isNamed(object, "Date") && isNamed(property, "now")) complain(node, "Date.now");
      },
      NewExpression(node: Node): void {
        if (isNamed(node["callee"], "Date") && (node["arguments"] as unknown[]).length === 0)
          complain(node, "new Date()");
      },
    };
  },
};

/** The project's own rules for oxlint. */
export default { meta: { name: "cdh" }, rules: { imports, layered, ambient } };
