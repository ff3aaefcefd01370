import { ERROR_CODES, type ErrorCode } from "@cdh/core/errors";
import { ENDING_SIGNALS, EXIT, EXIT_STATUSES, type ExitName } from "@cdh/core/exit-status";
import { cell, codeCell, table } from "./markdown.ts";
import { CODE_MEANINGS, PROBLEM_MEANINGS } from "./meanings.ts";

/** Render docs/reference/errors.md from the table of codes in core. */
export function renderErrorsPage(): string {
  const codes = Object.entries(ERROR_CODES) as [ErrorCode, ExitName][];
  const [hangup, interrupt, terminate] = Object.values(ENDING_SIGNALS);
  return `# Exit statuses and error codes

<!-- Made by \`npm run docs\` from packages/core/src/base/exit-status.ts and errors.ts. Do not edit. -->

## Exit statuses

The same for every program. A script can branch on them.

${table(
  ["status", ""],
  Object.values(EXIT_STATUSES).map(({ status, meaning }) => [String(status), cell(meaning)]),
)}

${hangup}, ${interrupt} and ${terminate}: SIGHUP, Ctrl-C or SIGTERM ended the work before it was done. A service that ends in order has 0. The first signal
asks; a second one, or the end of a grace (3 s; \`cdh-upload run\` \`SHUTDOWN_GRACE\` and 5 s, \`cdh-api\` 25 s, \`cdh-sysctl\` 30 s), ends the
process by the signal itself, whatever hangs.

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
