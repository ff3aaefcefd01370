import { ERROR_CODES, EXIT, type ErrorCode, type ExitName } from "@cdh/core/errors";
import { CODE_MEANINGS, EXIT_MEANINGS, PROBLEM_MEANINGS } from "./meanings.ts";
import { cell, codeCell, table } from "./markdown.ts";

/** Render docs/reference/errors.md from the table of codes in core. */
export function renderErrorsPage(): string {
  const codes = Object.entries(ERROR_CODES) as [ErrorCode, ExitName][];
  const exits = Object.entries(EXIT) as [ExitName, number][];
  return `# Exit statuses and error codes

<!-- Made by \`npm run docs\` from packages/core/src/errors.ts. Do not edit. -->

## Exit statuses

The same for every program. A script can branch on them.

${table(
  ["status", ""],
  exits.map(([name, status]) => [String(status), cell(EXIT_MEANINGS[name])]),
)}

130 and 143: a second Ctrl-C or SIGTERM ended the program at once.

\`cdc\`, started by the kernel, has the same statuses, though the kernel ignores them: 0 for a complete core, 3 for one that was cut,
32 for one that was cut by \`TIMEOUT\`, 13 when nothing could be kept.

## Error codes

An error is printed once, on stderr: \`program: what was tried, on what, why it failed (CODE)\`, and often a line \`hint: …\`. A code
keeps its meaning. An error without a code is a bug of ours and shows its stack.

${table(
  ["code", "status", ""],
  codes.map(([code, exit]) => [codeCell(code), String(EXIT[exit]), cell(CODE_MEANINGS[code])]),
)}

## Codes in a manifest's \`problems\`

Something could not be learnt or done, and the crash was kept all the same. Besides these, \`problems\` has codes of the table above,
and the names of system errors such as \`ENOSPC\`.

${table(
  ["code", ""],
  Object.entries(PROBLEM_MEANINGS).map(([code, meaning]) => [codeCell(code), cell(meaning)]),
)}
`;
}
