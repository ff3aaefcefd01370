import type { FrameFacts, Manifest, StackFacts } from "../bundle/manifest.ts";
import { printable } from "../cli/output.ts";
import type { Paint } from "./paint.ts";
import type { Report } from "./report.ts";
import { STACK_ENDS } from "./stack-ends.ts";

/** Frames on the first screen: so many of the innermost, and of the outermost ones. */
const SHOWN = { first: 24, last: 6 };

/** Write the crashed thread's stack, one function a line, the innermost first; empty where the node read none. */
export function stackLines({ manifest }: Pick<Report, "manifest">, paint: Paint): string[] {
  const crashed = manifest.threads?.find((thread) => thread.crashed === true) ?? manifest.threads?.[0];
  const stack = crashed?.stack;
  if (stack === undefined) return [];
  const lines: string[] = [];
  const { frames, leftOut } = stack;
  const isCut = frames.length > SHOWN.first + SHOWN.last + 1;
  for (const [index, frame] of frames.entries()) {
    const isHidden = isCut && index >= SHOWN.first && index < frames.length - SHOWN.last;
    if (isHidden && index === SHOWN.first) {
      const hidden = frames.length - SHOWN.first - SHOWN.last + (leftOut?.count ?? 0);
      lines.push(paint.dim(`  … ${hidden.toLocaleString("en-US")} more`));
    }
    if (!isCut && leftOut?.before === index) lines.push(paint.dim(`  … ${leftOut.count.toLocaleString("en-US")} more`));
    if (!isHidden) lines.push(`  #${String(index).padEnd(3)} ${frameText(frame, manifest, paint)}`);
  }
  const end = endText(stack);
  if (end !== undefined) lines.push(paint.dim(`  ends here: ${end}`));
  return lines;
}

function frameText(frame: FrameFacts, { modules }: Manifest, paint: Paint): string {
  const path = frame.module === undefined ? undefined : modules?.[frame.module]?.path;
  const inModule = path === undefined ? frame.pc : `${path.slice(path.lastIndexOf("/") + 1)}+${frame.offset ?? "?"}`;
  if (frame.signal === true) return paint.dim("<signal handler called>");
  if (frame.function === undefined) return printable(inModule);
  const source =
    frame.file === undefined ? inModule : `${frame.file}${frame.line === undefined ? "" : `:${frame.line}`}`;
  const inlined = frame.inlined === true ? " [inlined]" : "";
  return `${printable(frame.function)}${inlined}  ${paint.dim(printable(source))}`;
}

/** Say why a stack ends; undefined where it is whole. */
function endText({ end }: StackFacts): string | undefined {
  const at = printable(end.address ?? end.value ?? "");
  switch (end.kind) {
    case "outermost":
      return undefined;
    case "noTable":
      return `nothing tells who called the code at ${at}`;
    case "notCode":
      return `return address ${at} is no code`;
    case "noMemory":
      return `the stack at ${at} was not kept`;
    case "loop":
    case "limit":
    case "machine":
      return STACK_ENDS[end.kind];
    default:
      return printable(end.kind);
  }
}
