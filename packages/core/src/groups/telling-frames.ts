import type { FrameFacts, Manifest } from "../bundle/manifest.ts";
import { fileName, isRuntimeFile, isSystemFile, isWaiting, ruleFor, type FrameRule } from "./frame-rules.ts";
import { normalName } from "./normal-name.ts";

/** A frame, and what the rules say of it. */
export interface ToldFrame {
  frame: FrameFacts;
  /** Normalised; undefined where the node found none. */
  name: string | undefined;
  rule: FrameRule | undefined;
  /** Path of its file; undefined for code that is in none. */
  path: string | undefined;
  buildId: string | undefined;
  /** Of libc, the loader, the kernel's page or a language's library. */
  isSystem: boolean;
  /** Of a program that runs others' code. */
  isRuntime: boolean;
}

/** Frames that are read: more than writers keep. */
const FRAMES_MAX = 1200;

/**
 * Take the frames of the crashed thread from where its failure began: behind a signal's handler, and behind the handling of a
 * panic. @returns the innermost first; empty where no stack is known
 */
export function tellingFrames({ threads, modules }: Pick<Manifest, "threads" | "modules">): ToldFrame[] {
  const crashed = threads?.find((thread) => thread.crashed === true) ?? threads?.[0];
  const frames = (crashed?.stack?.frames ?? []).slice(0, FRAMES_MAX).map((frame): ToldFrame => {
    const module = frame.module === undefined ? undefined : modules?.[frame.module];
    if (frame.kind !== undefined) return ofScript(frame, module?.buildId);
    const name = frame.function === undefined ? undefined : normalName(frame.function);
    return {
      frame,
      name,
      rule: name === undefined ? undefined : ruleFor(name),
      path: module?.path,
      buildId: module?.buildId,
      isSystem: module !== undefined && isSystemFile(module.path),
      isRuntime: module !== undefined && isRuntimeFile(module.path),
    };
  });
  const interrupted = frames.slice(interruptedAt(frames));
  const sentinel = interrupted.findLastIndex(({ rule }) => rule?.isSentinel === true);
  return interrupted.slice(Math.max(0, sentinel)).filter(({ frame }) => frame.signal !== true);
}

/** A function of a script is its file's, whichever interpreter ran it; the rules are of other languages' functions. */
function ofScript(frame: FrameFacts, buildId: string | undefined): ToldFrame {
  const { function: name, file: path } = frame;
  return { frame, name, rule: undefined, path, buildId, isSystem: false, isRuntime: false };
}

/** Where the outermost signal that the thread itself caused interrupted it; one that came while it waited tells nothing. */
function interruptedAt(frames: readonly ToldFrame[]): number {
  for (let at = frames.length - 1; at >= 0; at -= 1)
    if (frames[at]?.frame.signal === true && !waits(frames.slice(at + 1))) return at + 1;
  return 0;
}

/** Tell whether a thread waited. A libc without names fails in one of its functions, and waits in one that calls another. */
function waits(frames: readonly ToldFrame[]): boolean {
  const named = frames.findIndex(({ name, isSystem }) => name !== undefined || !isSystem);
  const { name, isSystem } = frames[named] ?? {};
  if (named === -1 || (named > 1 && isSystem === false)) return true;
  return name !== undefined && isWaiting(name);
}

/** Name a program so that it is the same in every version: `libssl.so.3` is `libssl.so`, `checkout-1.8.2` is `checkout`. */
export function programName(path: string): string {
  const name = fileName(path).replace(/ \(deleted\)$/, "");
  return (
    name.replace(/(\.so)(?:\.[\w.]+)?$/, "$1").replace(/[-_.]?v?\d+(?:\.\d+)+(?:[-+][\w.]+)?(?=\.so$|$)/, "") || name
  );
}
