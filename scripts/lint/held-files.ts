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

/** What gives a file that somebody must close: Node's, and core's own. */
const OPENERS = new Set(["open", "openFile", "openRegularFile"]);
const FROM = /^(node:fs\/promises|@cdh\/core\/files\/regular-file|.*\/regular-file\.ts)$/;
const ADVICE = "a file that is collected unclosed ends the process";

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/** Look through a part of the tree; what lies below a node is left out where `enters` refuses it. */
function* nodesOf(node: Node, enters: (node: Node) => boolean = () => true): Generator<Node> {
  yield node;
  for (const [key, value] of Object.entries(node)) {
    if (key === "parent") continue;
    for (const child of Array.isArray(value) ? value : [value])
      if (isNode(child) && enters(child)) yield* nodesOf(child, enters);
  }
}

function some(node: Node, wanted: (node: Node) => boolean): boolean {
  for (const found of nodesOf(node)) if (wanted(found)) return true;
  return false;
}

const isFunction = ({ type }: Node): boolean => type.includes("Function");
const names =
  (name: string) =>
  (node: Node): boolean =>
    node.type === "Identifier" && node["name"] === name;

function awaits(statement: Node): boolean {
  for (const { type } of nodesOf(statement, (child) => !isFunction(child))) if (type === "AwaitExpression") return true;
  return false;
}

/** Tell whether a statement gives a file to an object that closes it, or to the caller. */
function isHandedOn(name: string, statement: Node): boolean {
  if (awaits(statement) || !some(statement, names(name))) return false;
  if (statement.type === "IfStatement") return some(statement, ({ type }) => type === "ReturnStatement");
  const expression = (statement["expression"] ?? {}) as Node;
  if (expression.type === "AssignmentExpression") return (expression["left"] as Node).type === "MemberExpression";
  return expression.type === "CallExpression" && some(expression["callee"] as Node, names("push"));
}

/** Tell whether a file that has a name now is closed on every way out, by what follows in its block. */
function isHeld(name: string, following: readonly Node[]): boolean {
  for (const statement of following) {
    const closes = some(statement, names(name)) && some(statement, names("close"));
    if (statement.type === "TryStatement") return closes;
    if (statement.type === "ReturnStatement") return some(statement, names(name)) && !awaits(statement);
    if (closes || isHandedOn(name, statement)) return true;
    // Nothing was opened.
    const isAbsent = statement.type === "IfStatement" && some(statement["test"] as Node, names("undefined"));
    if (!isAbsent && awaits(statement)) return false;
  }
  return false;
}

/** A file that was opened is closed on every way: no wait stands between the opening and the `try` that closes it. */
const heldFiles = {
  create(context: Context) {
    const file = path.relative(context.cwd, context.filename).split(path.sep).join("/");
    if (!/^packages\/[^/]+\/src\//.test(file) || file.endsWith(".test.ts") || file.includes("/testing/")) return {};
    const openers = new Set<string>();
    const calls = new Set<Node>();
    const known = new Set<Node>();
    const callsIn = (node: Node, enters?: (node: Node) => boolean): Node[] =>
      [...nodesOf(node, enters)].filter(
        ({ type, callee }) => type === "CallExpression" && openers.has(String((callee as Node)["name"])),
      );
    const look = (statements: readonly Node[]): void => {
      for (const [index, statement] of statements.entries()) {
        if (statement.type === "ReturnStatement") for (const call of callsIn(statement)) known.add(call);
        if (statement.type !== "VariableDeclaration") continue;
        for (const { id, init } of statement["declarations"] as { id: Node; init: Node | null }[]) {
          if (init === null || isFunction(init)) continue;
          const opened = callsIn(init, (child) => !isFunction(child));
          for (const call of opened) known.add(call);
          if (opened.length === 0 || isHeld(String(id["name"]), statements.slice(index + 1))) continue;
          context.report({ node: init, message: `${ADVICE}: wait for nothing before the try that closes it` });
        }
      }
    };
    return {
      ImportDeclaration(node: Node): void {
        if (!FROM.test(String((node["source"] as Node)["value"]))) return;
        for (const { imported, local } of node["specifiers"] as { imported?: Node; local: Node }[])
          if (OPENERS.has(String(imported?.["name"]))) openers.add(String(local["name"]));
      },
      CallExpression(node: Node): void {
        if (openers.has(String((node["callee"] as Node)["name"]))) calls.add(node);
      },
      BlockStatement: (node: Node): void => look(node["body"] as Node[]),
      ArrowFunctionExpression(node: Node): void {
        if ((node["body"] as Node).type !== "BlockStatement") for (const call of callsIn(node)) known.add(call);
      },
      "Program:exit"(): void {
        for (const node of calls)
          if (!known.has(node))
            context.report({ node, message: `${ADVICE}: give it a name, and close it in the try that follows` });
      },
    };
  },
};

/** Rules on files that are held open. */
export const heldFileRules = { "held-files": heldFiles };
