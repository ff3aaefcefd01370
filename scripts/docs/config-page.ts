import { composerSettings } from "@cdh/core/composer/settings";
import type { Setting, SettingsTable } from "@cdh/core/config";
import { storeSettings } from "@cdh/core/store/settings";
import { apiSettings } from "../../packages/cdh-api/src/settings.ts";
import { sysctlSettings } from "../../packages/cdh-sysctl/src/settings.ts";
import { uploadSettings } from "../../packages/cdh-upload/src/settings.ts";
import { cell, codeCell, table } from "./markdown.ts";

/** Render docs/reference/config.md from the programs' tables of settings. */
export function renderConfigPage(): string {
  return `# Settings

<!-- Made by \`npm run docs\` from the programs' tables of settings. Do not edit. -->

Every setting has an environment name; some have a flag. **Flag > environment > \`.env\` > default.** Only \`cdc\` has an \`.env\`
file: the kernel starts it with an empty environment. \`--print-config\` of \`cdh-sysctl\`, \`cdh-upload\` and \`cdh-api\` shows each value and
where it comes from.

- Sizes: \`4096\`, \`64k\`, \`500M\`, \`10Gi\`. Units are powers of 1024, with or without the \`i\`.
- Durations: \`250ms\`, \`5s\`, \`10m\`, \`1h30m\`, \`7d\`. A bare number is seconds, unless the text says otherwise.
- Booleans: \`true\`, \`1\`, \`yes\`, \`on\`, and \`false\`, \`0\`, \`no\`, \`off\`.
- Lists: items with commas between them.

A text that can't be read: \`cdc\` takes the default and records a problem of step \`settings\` in the manifest. The programs that
people run refuse, with all problems at once and exit status 10.

\`LOG_LEVEL\` and \`LOG_FORMAT\` (\`--log-level\`, \`--log-format\`) work with every program.

## cdc

In \`HOST_DIR/.env\`, which \`cdh-sysctl install\` writes: from \`COMP_<NAME>\` in its environment, or from \`--set NAME=VALUE\`.
\`CRIO_IMAGE_CMD\` of older setups is accepted and has no effect.

${settingsTable(composerSettings)}

## cdh-sysctl

And each setting of \`cdc\` as \`COMP_<NAME>\`.

${settingsTable(sysctlSettings)}

## cdh-upload

${settingsTable(withoutStore(uploadSettings))}

## cdh-api

${settingsTable(withoutStore(apiSettings))}

## The store

For \`cdh-upload\` and \`cdh-api\`, and for \`cdh-inspect\` when a place or bundle is \`s3://…\`.

${settingsTable(storeSettings)}
`;
}

function withoutStore(settings: SettingsTable): SettingsTable {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !Object.hasOwn(storeSettings, name)));
}

function settingsTable(settings: SettingsTable): string {
  const all = Object.entries(settings);
  // A column that no setting of the table has anything for is left out.
  const columns: [string, (name: string, setting: Setting<unknown>) => string][] = [
    ["name", (_name, { env, aliases = [] }) => [env, ...aliases].map(codeCell).join(" ")],
    ["flag", (_name, { flag }) => codeCell(flag ?? "")],
    ["default", (name, setting) => codeCell(showDefault(name, setting))],
    ["bare number", (_name, { unit }) => cell(unit ?? "")],
    ["", (_name, { doc }) => cell(doc)],
  ];
  const used = columns.filter(
    ([title, show]) => title === "" || all.some(([name, setting]) => show(name, setting) !== ""),
  );
  return table(
    used.map(([title]) => title),
    all.map(([name, setting]) => used.map(([, show]) => show(name, setting))),
  );
}

/** Write a default as a person would write it in a setting; nothing where there is none, or where the text explains it. */
function showDefault(name: string, { default: value, unit }: Setting<unknown>): string {
  if (value === undefined || value === "" || (Array.isArray(value) && value.length === 0)) return "";
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "number" && name.endsWith("Ms")) return showDuration(value);
  if (typeof value === "number" && (unit === "bytes" || name.endsWith("Bytes"))) return `${value / 1024 ** 2}Mi`;
  if (typeof value !== "object" || value === null) return String(value);
  if (Object.keys(value).length === 0) return "";
  if ("text" in value) return String(value.text);
  if ("count" in value && "windowMs" in value) return `${String(value.count)}/${showDuration(Number(value.windowMs))}`;
  if ("fraction" in value) return `${Number(value.fraction) * 100}%`;
  throw new Error(`no text for the default of ${name}: ${JSON.stringify(value)}`);
}

function showDuration(ms: number): string {
  for (const [unit, size] of [
    ["d", 86_400_000] as const,
    ["h", 3_600_000] as const,
    ["m", 60_000] as const,
    ["s", 1000] as const,
  ]) {
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
