import type { FrameFacts, Manifest, SignalFacts, ThreadFacts } from "../bundle/manifest.ts";
import { isRestricted } from "../bundle/restricted.ts";
import { printable } from "../cli/output.ts";
import { isSystemFile } from "../groups/frame-rules.ts";
import { makeAddressMap, formatPlace } from "./address-map.ts";
import { frameFunction, isCarrier, isStarter } from "./function-words.ts";
import { isNullPointer, tryParseAddress } from "./signal-words.ts";

/** Functions in the line, the one that crashed and its callers. */
const FUNCTIONS_MAX = 4;
/** Of what the program said, and of a line, in characters. */
const MESSAGE_MAX = 160;
const LINE_MAX = 512;

/** What of a signal is said beside its name. */
const DETAILS: Readonly<Record<string, string>> = {
  FPE_INTDIV: "division by zero",
  FPE_FLTDIV: "division by zero",
  ILL_ILLOPN: "illegal instruction",
  ILL_ILLOPC: "illegal instruction",
  SYS_SECCOMP: "refused by seccomp",
};

/**
 * Say in one line why and where a process died: `SIGSEGV (null pointer) in pay() at pay.go:41 ← handle() ← main()`, and in the
 * program's own words where it said why: `panic: no such cart in pay() at pay.go:41`. Every list, Event and page takes it
 * from here. Safe to print: names come from the crashed program's files, and no character of them ends a line or moves a cursor.
 * @returns at most 512 characters; only the signal of a restricted crash, and where no stack is known; empty when not even that is known
 */
export function crashLine(manifest: Manifest): string {
  const why = messageWords(manifest) ?? signalWords(manifest.signal);
  const where = crashPlace(manifest);
  return lineText(where === undefined ? why : `${why === "" ? "crashed" : why} in ${where}`);
}

/** Say {@link crashLine} where it tells more than a signal: a place, or what the program said. */
export function crashHeadline(manifest: Manifest): string | undefined {
  const tellsMore = crashPlace(manifest) !== undefined || messageWords(manifest) !== undefined;
  return tellsMore ? crashLine(manifest) : undefined;
}

/**
 * Say where a process died, without why: `pay() at pay.go:41 ← handle() ← main()`; undefined where {@link crashLine} does not.
 * As safe to print, and as long.
 */
export function crashPlace(manifest: Manifest): string | undefined {
  const place = isRestricted(manifest) ? undefined : placeWords(manifest);
  return place === undefined ? undefined : lineText(place);
}

/** What is printable stays as it is, so a line may be made of another. */
function lineText(text: string): string {
  return shorten(printable(text.toWellFormed()), LINE_MAX);
}

function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text
    .slice(0, max - 1)
    .trimEnd()
    .toWellFormed()}…`;
}

/** The line in which the program said why it ends; undefined where it said nothing, and of restricted crashes. */
function messageWords(manifest: Manifest): string | undefined {
  const { message } = manifest;
  if (message === undefined || isRestricted(manifest)) return undefined;
  return shorten(message.text.trim(), MESSAGE_MAX);
}

function signalWords(signal: SignalFacts): string {
  const detail = isNullPointer(signal) ? "null pointer" : DETAILS[signal.codeName ?? ""];
  return signal.name === "" || detail === undefined ? signal.name : `${signal.name} (${detail})`;
}

function placeWords(manifest: Manifest): string | undefined {
  const crashed = manifest.threads?.find((thread) => thread.crashed === true) ?? manifest.threads?.[0];
  const frames = crashed?.stack?.frames ?? [];
  if (crashed === undefined) return undefined;
  const shown = chooseFrames(frames, manifest);
  const [first] = shown;
  if (first === undefined) return registerPlace(manifest, crashed);
  // Where a script's function failed in one of C, the script's line tells more.
  const script = shown.find((frame) => frame.kind !== undefined);
  return shown
    .map((frame) => `${frameWords(frame, manifest)}${frame === first || frame === script ? sourceWords(frame) : ""}`)
    .join(" ← ");
}

function sourceWords({ file, line }: FrameFacts): string {
  return file === undefined ? "" : ` at ${baseName(file)}${line === undefined ? "" : `:${line}`}`;
}

/** The frames that tell: without what only carries the failure, what only starts threads, and repetitions. */
function chooseFrames(frames: readonly FrameFacts[], manifest: Manifest): FrameFacts[] {
  const told = frames.filter((frame) => frame.signal !== true);
  const isScript = told.some((frame) => frame.kind !== undefined);
  const begin = told.findIndex(
    (frame) => !isPassedThrough(frame, manifest) && (!isScript || frame.function !== undefined),
  );
  const chosen: FrameFacts[] = [];
  for (const frame of told.slice(Math.max(0, begin))) {
    if (chosen.length === FUNCTIONS_MAX) break;
    // Between the functions of a script are those that run it.
    if (isScript && chosen.length > 0 && frame.kind === undefined) continue;
    const name = frame.kind === undefined ? frame.function : undefined;
    if (chosen.length > 0 && name !== undefined && isStarter(name)) break;
    // A libc without symbols of its own starts programs too.
    if (chosen.length > 0 && frame.kind === undefined && name === undefined && isPassedThrough(frame, manifest))
      continue;
    const previous = chosen.at(-1);
    if (previous !== undefined && frameWords(previous, manifest) === frameWords(frame, manifest)) continue;
    chosen.push(frame);
  }
  return chosen;
}

function isPassedThrough(frame: FrameFacts, manifest: Manifest): boolean {
  if (frame.kind !== undefined) return false;
  if (frame.function !== undefined) return isCarrier(frame.function);
  const path = moduleOf(frame, manifest);
  return path !== undefined && isSystemFile(path);
}

function frameWords(frame: FrameFacts, manifest: Manifest): string {
  const name = frameFunction(frame);
  if (name !== undefined) return `${name}()`;
  const path = moduleOf(frame, manifest);
  return path === undefined ? frame.pc : `${baseName(path)}+${frame.offset ?? "?"}`;
}

function registerPlace(manifest: Manifest, { registers }: ThreadFacts): string | undefined {
  const pc = tryParseAddress(registers["pc"] ?? "");
  const place = pc === undefined ? undefined : makeAddressMap(manifest.modules ?? []).find(pc);
  return place === undefined ? undefined : formatPlace(place);
}

function moduleOf({ module }: FrameFacts, { modules }: Manifest): string | undefined {
  return module === undefined ? undefined : modules?.[module]?.path;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
