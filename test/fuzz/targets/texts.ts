import * as fc from "fast-check";
import { parseEnvFile } from "@cdh/core/env-file";
import { formatTable, printable, stringifyJson } from "@cdh/core/output";
import { checkKey, keyPart } from "@cdh/core/store/keys";
import { parseBytes, parseDuration } from "@cdh/core/units";
import { parseLogLines } from "../../../packages/core/src/container/log-lines.ts";
import { around, hostileText } from "../grammar/text.ts";
import { defineTarget, must, mustBePrintable, orRefused } from "../target.ts";

const LINES = [
  "2026-11-29T00:00:00.1Z stdout F hello\n",
  "2026-11-29T00:00:00.1Z stdout P part\n",
  "2026-11-29T00:00:00.1Z stderr P \n",
  '{"log":"a\\n","stream":"stdout","time":"2026-11-29T00:00:00Z"}\n',
  '{"log":"part","stream":"stdout"}\n',
  "\n",
  "KEY=value\n",
  'KEY="a\\"b"\n',
  "KEY[]=1\n",
  "__proto__.x=1\n",
  "[section]\n",
  "export A = 'b'\n",
];

/** Small texts: logs of containers, .env files, numbers with units, keys, tables. */
export const textsTarget = defineTarget({
  name: "texts",
  what: "container logs, .env files, sizes, keys, tables",
  recipes: fc.array(fc.tuple(fc.oneof(fc.constantFrom(...LINES), hostileText), around(100, 20_000)), { maxLength: 5 }),
  build: (pieces) => pieces.map(([text, times]) => text.repeat(Math.max(0, times))).join(""),
  bytesOf: (text) => Buffer.from(text),
  run: async (text) => {
    const bytes = Buffer.from(text);
    const messages = parseLogLines(bytes);
    must(
      messages.reduce((sum, message) => sum + message.length, 0) <= bytes.length * 2 + 2,
      "more comes out than went in",
    );
    const values = parseEnvFile(text);
    must(
      Object.values(values).every((value) => typeof value === "string"),
      "a value that is no text",
    );
    must(({} as Record<string, unknown>)["x"] === undefined, "Object.prototype was changed");
    const short = text.slice(0, 2000);
    mustBePrintable(printable(short).replaceAll("\n", "?"), "what was made printable");
    mustBePrintable(stringifyJson({ [short]: short }), "JSON");
    mustBePrintable(formatTable([{ header: "A", value: (row: string) => row }], [short, ""]), "a table");
    const part = keyPart(short.slice(0, 200));
    must(part !== "" && !part.includes("/") && part !== ".." && part !== ".", `key part ${JSON.stringify(part)}`);
    for (const read of [() => parseBytes(short), () => parseDuration(short), () => checkKey(short)])
      await orRefused<unknown>(read);
  },
});
