import { readFile, stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { resolveSettings } from "@cdh/core/config";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { parseJson } from "@cdh/core/json";
import { storeSettings, type StoreSettings } from "@cdh/core/store/settings";
import { parseBytes } from "@cdh/core/units";
import { DEFAULT_LANE } from "../queue/lane.ts";

/** A rule: whose bundles go to which store. */
export interface StoreRule {
  /** A DNS label; the value of the metrics' label `rule`. */
  name: string;
  /** Names of namespaces; `*` stands for any characters. */
  namespaces: readonly string[];
  /** The store without its secrets: STORE_URL, what `settings` says, and what all stores share. */
  settings: StoreSettings;
  /** Directory of the secret's files; absent: the uploader's own identity. */
  secretDir: string | undefined;
  /** Uploads to this store at the same time. */
  concurrency: number;
  /** Most bytes that wait in the spool for this store; undefined: no limit. */
  maxWaiting: number | undefined;
}

/** The name of the store that is not a rule's. */
export const DEFAULT_RULE = DEFAULT_LANE;

const FILE_MAX_BYTES = 1024 * 1024;
const RULES_MAX = 64;
const NAMESPACES_MAX = 256;
const CONCURRENCY_MAX = 16;
const DEFAULT_CONCURRENCY = 2;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const NAMESPACE_PATTERN = /^[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?$/;
const KEYS: ReadonlySet<string> = new Set([
  "name",
  "namespaces",
  "store",
  "settings",
  "secretDir",
  "concurrency",
  "maxWaiting",
]);
/** What a rule has a place of its own for, or all stores share. */
const NOT_HERE: ReadonlySet<string> = new Set(["STORE_URL", "S3_BUCKET_NAME", "S3_KEYS_DIR", "BANDWIDTH_LIMIT"]);
/** What holds for a rule's store too unless the rule says otherwise. */
const SHARED = ["partBytes", "partConcurrency", "storeTimeoutMs"] as const;

const SHAPE_HINT =
  'the file holds {"rules": [{"name": "team-a", "namespaces": ["team-a-*"], "store": "s3://bucket/prefix", "secretDir": "/etc/team-a"}]}';

/**
 * Read STORE_RULES: a file of JSON.
 * @param shared the program's own settings
 * @throws {CdhError} CDH_CONFIG_INVALID that names all that is wrong
 */
export async function readRules(path: string, shared: StoreSettings): Promise<StoreRule[]> {
  const refuse = (why: string, hint = SHAPE_HINT): never => {
    throw new CdhError("CDH_CONFIG_INVALID", `STORE_RULES ${path}: ${why}`, { hint });
  };
  const text = await readText(path).catch((error: unknown) => {
    const isMissing = errnoOf(error) === "ENOENT";
    return refuse(
      isMissing ? "there is no such file" : reasonOf(error),
      isMissing ? "leave STORE_RULES empty when all bundles go to STORE_URL" : SHAPE_HINT,
    );
  });
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    refuse(reasonOf(error));
  }
  const list = isRecord(value) && Object.keys(value).length === 1 ? value["rules"] : undefined;
  if (!Array.isArray(list)) return refuse("no list of rules");
  if (list.length > RULES_MAX) refuse(`${list.length} rules, more than ${RULES_MAX}`);
  const problems: string[] = [];
  const rules = list.map((entry: unknown, index) => readRule(entry, index, shared, problems));
  for (const name of twice(rules.map((rule) => rule.name)))
    problems.push(`two rules are named ${JSON.stringify(name)}`);
  for (const pattern of twice(rules.flatMap((rule) => [...new Set(rule.namespaces)])))
    problems.push(`the pattern ${JSON.stringify(pattern)} stands in two rules: the second never counts`);
  const [first] = problems;
  return first === undefined ? rules : refuse(problems.join("; "));
}

async function readText(path: string): Promise<Uint8Array> {
  const { size } = await stat(path);
  if (size > FILE_MAX_BYTES) throw new Error(`larger than ${FILE_MAX_BYTES} bytes`);
  return await readFile(path);
}

/** Read one rule; what is wrong with it goes to `problems`, and then what comes back is not used. */
function readRule(entry: unknown, index: number, shared: StoreSettings, problems: string[]): StoreRule {
  const given = isRecord(entry) ? entry : {};
  const { name } = given;
  const label = typeof name === "string" ? `rule ${JSON.stringify(name.slice(0, 64))}` : `rule ${index + 1}`;
  const problem = (why: string): void => void problems.push(`${label}: ${why}`);
  for (const key of Object.keys(given)) if (!KEYS.has(key)) problem(`unknown key ${JSON.stringify(key.slice(0, 64))}`);
  if (typeof name !== "string" || !DNS_LABEL.test(name))
    problem("name must be lower-case letters, digits and dashes, at most 63");
  if (name === DEFAULT_RULE) problem(`${DEFAULT_RULE} is the name of the store of STORE_URL`);
  const secretDir = readSecretDir(given["secretDir"], problem);
  const settings = readSettings(given, shared, problem);
  if (secretDir !== undefined && settings.storeUrl?.startsWith("file:") === true)
    problem("a directory has no secret: leave secretDir out");
  return {
    name: typeof name === "string" ? name : "",
    namespaces: readPatterns(given["namespaces"], problem),
    settings,
    secretDir,
    concurrency: readConcurrency(given["concurrency"], problem),
    maxWaiting: readMaxWaiting(given["maxWaiting"], problem),
  };
}

function readPatterns(value: unknown, problem: (why: string) => void): string[] {
  const patterns: unknown[] = Array.isArray(value) ? value : [];
  if (patterns.length === 0 || patterns.length > NAMESPACES_MAX)
    problem(`namespaces must be a list of 1 to ${NAMESPACES_MAX} names or patterns such as team-a-*`);
  return patterns.flatMap((pattern) => {
    if (typeof pattern === "string" && NAMESPACE_PATTERN.test(pattern)) return [pattern];
    problem(`${JSON.stringify(pattern)?.slice(0, 80)} is no namespace's name, and no pattern of one`);
    return [];
  });
}

function readSettings(
  given: Record<string, unknown>,
  shared: StoreSettings,
  problem: (why: string) => void,
): StoreSettings {
  const { store, settings = {} } = given;
  if (typeof store !== "string" || store === "") problem("store must be s3://…, gs://…, azblob://… or file:///…");
  if (!isRecord(settings)) problem("settings must be an object of texts");
  const env: Record<string, string> = {};
  const known = new Map(Object.values(storeSettings).map((setting) => [setting.env, setting]));
  for (const [name, text] of Object.entries(isRecord(settings) ? settings : {})) {
    const setting = known.get(name);
    if (setting?.secret === true) problem(`${name} is a secret: it belongs into a file of secretDir`);
    else if (setting === undefined || NOT_HERE.has(name))
      problem(`${JSON.stringify(name.slice(0, 64))} is no setting of a rule's store`);
    else if (typeof text !== "string") problem(`${name} must be a text`);
    else env[name] = text;
  }
  const resolved = resolveSettings(storeSettings, {
    env: { ...env, STORE_URL: typeof store === "string" ? store : "" },
  });
  for (const each of resolved.problems) problem(each);
  const values: StoreSettings = { ...resolved.values };
  for (const name of SHARED) if (resolved.sources[name] === "default") values[name] = shared[name];
  return values;
}

function readSecretDir(value: unknown, problem: (why: string) => void): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value === "string" && isAbsolute(value)) return value;
  problem("secretDir must be an absolute path");
  return undefined;
}

function readConcurrency(value: unknown, problem: (why: string) => void): number {
  if (value === undefined) return DEFAULT_CONCURRENCY;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= CONCURRENCY_MAX) return value;
  problem(`concurrency must be a whole number from 1 to ${CONCURRENCY_MAX}`);
  return DEFAULT_CONCURRENCY;
}

function readMaxWaiting(value: unknown, problem: (why: string) => void): number | undefined {
  // What waits is the only copy: nothing of it is given up unless somebody asks for that.
  if (value === undefined || value === "" || value === "unlimited") return undefined;
  try {
    if (typeof value === "string" || typeof value === "number") return parseBytes(String(value));
    throw new Error("not a text");
  } catch {
    problem("maxWaiting must be a size such as 10Gi, or unlimited");
    return undefined;
  }
}

/** Find what stands there more than once. */
function twice(names: readonly string[]): Set<string> {
  return new Set(names.filter((name, index) => names.indexOf(name) !== index));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
