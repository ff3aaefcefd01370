import { CdhError } from "@cdh/core/errors";
import { checkKey, keyPart } from "@cdh/core/store/keys";

/** The variables that S3_KEY_TEMPLATE may use. */
const KEY_VARIABLES = ["namespace", "name", "node", "cluster", "pod", "signal", "date"] as const;

/** Values for a key template. */
export type KeyVariables = Record<(typeof KEY_VARIABLES)[number], string>;

/** A checked template. */
export interface KeyTemplate {
  text: string;
  /** Renders the key of the bundle and of its manifest beside it, and what both begin with. */
  render(values: KeyVariables): { bundleKey: string; manifestKey: string; stem: string };
}

/**
 * Check a key template such as `{namespace}/{name}.zip`. `{{x}}` is accepted as `{x}`. It must end with `{name}.zip`:
 * only the name makes a key unique, and the manifest's key is made from it.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function parseKeyTemplate(text: string): KeyTemplate {
  const refuse = (why: string): never => {
    throw new CdhError("CDH_CONFIG_INVALID", why, { hint: "the default is {namespace}/{name}.zip" });
  };
  const trimmed = text.trim().replaceAll(/\{\{\s*(\w+)\s*\}\}/g, "{$1}");
  if (!trimmed.endsWith("{name}.zip")) refuse("it must end with {name}.zip");
  if (trimmed.startsWith("/")) refuse("it must not start with a slash");
  for (const [, name] of trimmed.matchAll(/\{([^{}]*)\}/g)) {
    if (!KEY_VARIABLES.some((known) => known === name))
      refuse(`unknown variable {${name}}; known: ${KEY_VARIABLES.join(" ")}`);
  }
  if (/[{}]/.test(trimmed.replaceAll(/\{\w+\}/g, ""))) refuse("unbalanced braces");
  return {
    text: trimmed,
    render: (values) => {
      const bundleKey = checkKey(
        trimmed.replaceAll(/\{(\w+)\}/g, (_match, name: string) =>
          keyPart(values[KEY_VARIABLES.find((known) => known === name) ?? "name"]),
        ),
      );
      const stem = bundleKey.slice(0, -".zip".length);
      return { bundleKey, manifestKey: `${stem}.manifest.json`, stem };
    },
  };
}

/**
 * Refuse keys that the store would keep under other names: Azure drops a dot at the end of a part. Each bundle would be
 * refused otherwise, one by one.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function checkKeysFor(storeUrl: string | undefined, template: KeyTemplate): void {
  if (storeUrl?.startsWith("azblob:") !== true) return;
  const endsWithDot = (text: string): boolean => text.split("/").some((part) => part.endsWith("."));
  const name = endsWithDot(storeUrl) ? "STORE_URL" : endsWithDot(template.text) ? "S3_KEY_TEMPLATE" : undefined;
  if (name === undefined) return;
  throw new CdhError("CDH_CONFIG_INVALID", `${name}: Azure keeps no dot at the end of a part of a blob's name`, {
    hint: `take the dots before each slash out of ${name}`,
  });
}
