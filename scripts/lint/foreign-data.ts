import path from "node:path";

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

/** The one place that parses JSON, under limits. */
const JSON_HOME = "packages/core/src/base/json.ts";
/** It runs in a browser and reads what this API's own server wrote. */
const PAGE = "packages/cdh-api/src/page/client/";

function isProgramSource(context: Context): boolean {
  const file = nameOf(context);
  return /^packages\/[^/]+\/src\//.test(file) && !file.endsWith(".test.ts") && !file.includes("/testing/");
}

function nameOf(context: Context): string {
  return path.relative(context.cwd, context.filename).split(path.sep).join("/");
}

function isIdentifier(node: unknown, name: string): boolean {
  const { type, name: found } = (node ?? {}) as { type?: string; name?: string };
  return type === "Identifier" && found === name;
}

/** JSON is counted before it is parsed. */
const boundedJson = {
  create(context: Context) {
    const file = nameOf(context);
    if (!isProgramSource(context) || file === JSON_HOME || file.startsWith(PAGE)) return {};
    return {
      MemberExpression(node: Node): void {
        const { object, property } = node;
        if (isIdentifier(object, "JSON") && isIdentifier(property, "parse"))
          context.report({ node, message: "JSON.parse only in core's json.ts: parseJson counts before it parses" });
      },
      CallExpression(node: Node): void {
        const callee = node["callee"] as Node | undefined;
        const isPlainCall = callee?.type === "MemberExpression" && (node["arguments"] as unknown[]).length === 0;
        if (isPlainCall && isIdentifier(callee["property"], "json"))
          context.report({ node, message: "a response's json() is not bounded: read its bytes, then parseJson" });
      },
    };
  },
};

/**
 * With the flag m, `^` and `$` also match beside \r, U+2028 and U+2029, which a process may put into its name and others
 * into what they write: a text is split at newlines, or the place is named by `(?<![^\n])` and `(?![^\n])`.
 */
const lineAnchors = {
  create(context: Context) {
    if (!isProgramSource(context)) return {};
    const complain = (node: Node): void =>
      context.report({
        node,
        message:
          "the flag m also breaks lines at \\r, U+2028 and U+2029: (?<![^\\n]) is the start of a line, (?![^\\n]) its end",
      });
    const flagsOf = (node: Node): void => {
      const [, flags] = node["arguments"] as (Node | undefined)[];
      if (!isIdentifier(node["callee"], "RegExp") || flags === undefined) return;
      // Flags that are no constant could be any.
      if (flags.type !== "Literal" || String(flags["value"]).includes("m")) complain(node);
    };
    return {
      Literal(node: Node): void {
        const regex = node["regex"] as { flags?: string } | undefined | null;
        if (regex?.flags?.includes("m") === true) complain(node);
      },
      NewExpression: flagsOf,
      CallExpression: flagsOf,
    };
  },
};

type Scope = ReadonlySet<string>;

function restNamesOf(node: Node): Scope {
  const names = new Set<string>();
  for (const parameter of node["params"] as Node[]) {
    const argument = parameter["argument"] as { type?: string; name?: string } | undefined;
    if (parameter.type === "RestElement" && argument?.type === "Identifier") names.add(argument.name ?? "");
  }
  return names;
}

function isWrittenThere(list: Node, scopes: readonly Scope[]): boolean {
  if (list.type === "ArrayExpression") return true;
  if (list.type === "ConditionalExpression")
    return [list["consequent"], list["alternate"]].every((branch) => isWrittenThere(branch as Node, scopes));
  return list.type === "Identifier" && scopes.some((names) => names.has(String(list["name"])));
}

/**
 * A list that is spread into a call becomes arguments on the stack: from about 125,000 on the engine throws. Only a list
 * written there, and a function's own rest parameter, which came as arguments already, may be spread.
 */
const spreadData = {
  create(context: Context) {
    if (!isProgramSource(context)) return {};
    const scopes: Scope[] = [];
    const enter = (node: Node): void => void scopes.push(restNamesOf(node));
    const leave = (): void => void scopes.pop();
    const look = (node: Node): void => {
      for (const argument of node["arguments"] as Node[]) {
        if (argument.type !== "SpreadElement") continue;
        if (isWrittenThere(argument["argument"] as Node, scopes)) continue;
        context.report({
          node: argument,
          message: "a list is spread into a call, which throws when it is long: core's lists.ts has append and largest",
        });
      }
    };
    return {
      FunctionDeclaration: enter,
      "FunctionDeclaration:exit": leave,
      FunctionExpression: enter,
      "FunctionExpression:exit": leave,
      ArrowFunctionExpression: enter,
      "ArrowFunctionExpression:exit": leave,
      CallExpression(node: Node): void {
        const callee = node["callee"] as Node | undefined;
        if (callee?.type === "MemberExpression" && isIdentifier(callee["property"], "apply"))
          context.report({ node, message: "apply() spreads a list into a call, which throws when it is long" });
        look(node);
      },
      NewExpression: look,
    };
  },
};

/** Node's recursive mkdir never ends in /proc and on some lost mounts; the composer runs on Bun, whose own does. */
const folders = {
  create(context: Context) {
    if (!isProgramSource(context) || nameOf(context).startsWith("packages/cdc/")) return {};
    return {
      CallExpression(node: Node): void {
        const { callee, arguments: args } = node as unknown as { callee: Node; arguments: Node[] };
        const name = callee.type === "MemberExpression" ? callee["property"] : callee;
        if (!isIdentifier(name, "mkdir") && !isIdentifier(name, "mkdirSync")) return;
        const properties = (args[1]?.["properties"] ?? []) as Node[];
        if (properties.some((property) => isIdentifier(property["key"], "recursive")))
          context.report({ node, message: "a recursive mkdir may never end: core's files/make-folders.ts does" });
      },
    };
  },
};

/** Where cdh-api parses what lies in the store: in a thread of its own. */
const API_THREAD = /^packages\/cdh-api\/src\/manifests\/(tasks|worker)\.ts$/;
/** What these parse is the cluster's, the operator's or our own, or is bounded to a few KiB of a request. */
const API_SMALL =
  /^packages\/cdh-api\/src\/(auth\/front-proxy|retention\/policy|http\/exchange|kube\/read|auth\/tickets)\.ts$/;
const PARSERS = new Set([
  "parseJson",
  "tryParseJson",
  "parseBoundedJson",
  "readJsonFile",
  "parseManifest",
  "readManifest",
  "parseContainerNames",
  "runTask",
]);

/** cdh-api answers on one thread: what lies in the store is parsed on another one, however small it is. */
const answeringThread = {
  create(context: Context) {
    const file = nameOf(context);
    if (!file.startsWith("packages/cdh-api/") || !isProgramSource(context) || API_THREAD.test(file)) return {};
    return {
      ImportSpecifier(node: Node): void {
        const { name = "" } = node["imported"] as { name?: string };
        const isSmall = API_SMALL.test(file) && name === "parseJson";
        if (PARSERS.has(name) && !isSmall)
          context.report({ node, message: `${name} only in manifests/tasks.ts: parseInThread holds no request up` });
      },
    };
  },
};

/** Rules on what others write and own: its size is theirs to choose, and so is how their file systems answer. */
export const foreignDataRules = {
  "bounded-json": boundedJson,
  "spread-data": spreadData,
  "line-anchors": lineAnchors,
  folders,
  "answering-thread": answeringThread,
};
