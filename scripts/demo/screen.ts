/** What the demo prints, in one place so that it looks alike. */
const isTerminal = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
const paint = (code: string, text: string): string => (isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text);

let steps = 0;

/** Print a heading. */
export function title(text: string): void {
  console.log(`\n${paint("1", text)}\n${paint("2", "─".repeat(text.length))}`);
}

/** Begin a step, with the command that does it. */
export function step(what: string, command: string): void {
  steps += 1;
  console.log(`\n${paint("1;36", `${steps}. ${what}`)}\n   ${paint("2", `$ ${command}`)}`);
}

/** Say that something held. */
export function ok(text: string): void {
  console.log(`   ${paint("32", "✓")} ${text}`);
}

/** Say something the reader should know. */
export function note(text: string): void {
  console.log(`\n${paint("33", "!")} ${text}`);
}

/** Show what a program printed, indented. */
export function show(text: string): void {
  for (const line of text.trimEnd().split("\n")) console.log(`   ${line}`.trimEnd());
}

export { formatBytes as bytes, formatDuration as duration } from "../../packages/core/src/base/units.ts";
