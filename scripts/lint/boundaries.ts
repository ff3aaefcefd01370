import path from "node:path";
import { foreignDataRules } from "./foreign-data.ts";
import { heldFileRules } from "./held-files.ts";
import { complaintBetween, hasLayers, tryRoomOf } from "./layers.ts";
import { AMBIENT, OWNERSHIPS } from "./owners.ts";

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
/** Packages that programs share, each importing only the ones before it. */
const LIBRARIES = ["core", "unwind"];

function isTest(file: string): boolean {
  return file.endsWith(".test.ts") || /^packages\/[^/]+\/src\/testing\//.test(file);
}

function packageOf(file: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(file)?.[1];
}

/** A file relative to its package's `src`. */
function insideOf(file: string): string {
  return file.replace(/^packages\/[^/]+\/src\//, "");
}

/** Say which file of the checkout an import means; undefined for libraries. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return path.posix.join(path.posix.dirname(file), specifier);
  const [, library, inside] = /^@cdh\/(core|unwind)\/(.+)$/.exec(specifier) ?? [];
  if (library !== undefined)
    return `packages/${library}/${inside?.startsWith("testing/") === true ? "src/testing" : "src"}/face.ts`;
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
  if (from !== to && !LIBRARIES.includes(to)) {
    return LIBRARIES.includes(from)
      ? `${from} imports no program`
      : "no program imports another program; share through core";
  }
  if (LIBRARIES.includes(from) && LIBRARIES.indexOf(to) > LIBRARIES.indexOf(from))
    return `${from} does not import ${to}`;
  if (isTest(file)) return undefined;
  if (isTest(target)) return "only tests import tests and testing/";
  if (from !== to) return undefined;
  if (!specifier.startsWith(".")) return `${from} names its own files by their paths`;
  return complaintBetween(from, insideOf(file), insideOf(target));
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

/** Every file of a package has a layer or a room, or a new folder would escape the order. */
const layered = {
  create(context: Context) {
    const file = relativeName(context);
    return {
      Program(node: Node): void {
        const name = /^packages\/([^/]+)\/src\//.exec(file)?.[1];
        if (name === undefined || isTest(file)) return;
        if (hasLayers(name) && tryRoomOf(name, insideOf(file)) === undefined)
          context.report({ node, message: `${file} has no room: add it to scripts/lint/layers.ts` });
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
        message: `${what} only in main.ts and core's cli.ts, ending.ts, clock.ts and exec.ts: take it from the context`,
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

/** Which argument of a call is a timer's duration; undefined when the call makes no timer. */
function durationOf(callee: Node, args: readonly Node[]): Node | undefined {
  if (isNamed(callee, "setTimeout") || isNamed(callee, "setInterval")) return args[1];
  if (callee.type !== "MemberExpression") return undefined;
  const { object, property } = callee;
  if (isNamed(object, "globalThis") && (isNamed(property, "setTimeout") || isNamed(property, "setInterval")))
    return args[1];
  // A socket's, and the one that makes a signal.
  return isNamed(property, "setTimeout") || (isNamed(object, "AbortSignal") && isNamed(property, "timeout"))
    ? args[0]
    : undefined;
}

/** A timer of over 2^31 ms ends at once. So a duration is a constant, or goes through `timerMs`. */
const timers = {
  create(context: Context) {
    const file = relativeName(context);
    if (packageOf(file) === undefined || isTest(file) || file === `${CORE_SOURCE}base/clock.ts`) return {};
    return {
      CallExpression(node: Node): void {
        const duration = durationOf(node["callee"] as Node, node["arguments"] as Node[]);
        if (duration === undefined) return;
        const { type, name } = duration as { type: string; name?: string };
        const isConstant = type === "Literal" || (type === "Identifier" && /^[A-Z][A-Z0-9_]*$/.test(name ?? ""));
        const isClamped = type === "CallExpression" && isNamed(duration["callee"], "timerMs");
        if (!isConstant && !isClamped)
          context.report({ node: duration, message: "a timer takes a constant, or timerMs() of core's clock.ts" });
      },
    };
  },
};

/** TypeScript's `private` is only a word; `#` holds. A constructor knows no other way. */
const privateMembers = {
  create(context: Context) {
    const look = (node: Node): void => {
      if (node["accessibility"] === "private" && node["kind"] !== "constructor")
        context.report({ node, message: "a private member is called #name" });
    };
    return { PropertyDefinition: look, MethodDefinition: look, TSParameterProperty: look };
  },
};

/** The project's own rules for oxlint. */
export default {
  meta: { name: "cdh" },
  rules: {
    imports,
    layered,
    ambient,
    timers,
    "private-members": privateMembers,
    ...foreignDataRules,
    ...heldFileRules,
  },
};
