import { createHash } from "node:crypto";
import { cutText } from "../base/cut-text.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { fileName } from "./frame-rules.ts";
import { programName, tellingFrames, type ToldFrame } from "./telling-frames.ts";

/** What crashes of one bug have in common. Absent means unknown. */
export type CrashKeys = Pick<Manifest, "site" | "signature">;

/** Frames of a site: more of them keep bugs apart, and a site may decide what is kept. */
const SITE_FRAMES = 5;
/** Functions of a signature: the one that failed and who called it. */
const SIGNATURE_FUNCTIONS = 2;
const SITE_LENGTH = 16;
const NAME_MAX_BYTES = 160;

/** Get the keys of a crash: those of its manifest, else what its stack tells. */
export function crashKeys(manifest: Pick<Manifest, "site" | "signature" | "threads" | "modules">): CrashKeys {
  if (manifest.site !== undefined || manifest.signature !== undefined)
    return definedOnly({ site: manifest.site, signature: manifest.signature });
  const frames = tellingFrames(manifest);
  return definedOnly({ site: siteOf(frames), signature: signatureOf(frames) });
}

/**
 * Hash where in its files a crash happened: build-id (else the file's name) and offset of the first frames outside of libc,
 * the loader and language runtimes. The same for one bug in one build; no symbols are needed.
 */
function siteOf(frames: readonly ToldFrame[]): string | undefined {
  const places = new Set<string>();
  for (const { frame, rule, path, buildId, isSystem, isRuntime } of frames) {
    if (places.size === SITE_FRAMES || (rule?.role === "starter" && places.size > 0)) break;
    if (path === undefined || isSystem || isRuntime || rule !== undefined) continue;
    if (frame.offset === undefined && frame.kind === undefined) continue;
    if (frame.kind !== undefined) {
      // The interpreter's place is the same for all of its programs.
      places.add(`${path}:${frame.line ?? frame.function ?? "?"}`);
      continue;
    }
    // The place of a recursion counts once; so do functions that are inlined into one place.
    places.add(`${buildId ?? fileName(path)}+${frame.offset}`);
  }
  if (places.size === 0) return undefined;
  return createHash("sha256")
    .update([...places].join("\n"))
    .digest("hex")
    .slice(0, SITE_LENGTH);
}

/**
 * Name the functions in which a crash happened: `assert | check_total | pay @ checkout`. The same for one bug in all builds
 * and images of a program. Not printable yet: names come from the crashed program's files.
 * @returns undefined where the function that failed has no name
 */
function signatureOf(frames: readonly ToldFrame[]): string | undefined {
  const names = new Set<string>();
  let kind: string | undefined;
  let program: string | undefined;
  for (const { name, rule, path, isSystem, isRuntime } of frames) {
    if (names.size === SIGNATURE_FUNCTIONS) break;
    if (rule?.role === "starter") {
      if (names.size > 0) break;
      continue;
    }
    if (rule !== undefined) {
      if (names.size === 0) kind = rule.kind ?? kind;
      continue;
    }
    // Code in no file: a jump to nowhere, or made at run time.
    if (path === undefined) continue;
    if (name === undefined || isSystem) {
      if (isSystem || isRuntime) continue;
      // The function that failed has no name: what called it would stand for many bugs.
      break;
    }
    names.add(cutText(name, NAME_MAX_BYTES));
    program ??= programName(path);
  }
  if (names.size === 0 || program === undefined) return undefined;
  return `${[...(kind === undefined ? [] : [kind]), ...names].join(" | ")} @ ${cutText(program, NAME_MAX_BYTES)}`;
}

function definedOnly({ site, signature }: { site: string | undefined; signature: string | undefined }): CrashKeys {
  return { ...(site === undefined ? {} : { site }), ...(signature === undefined ? {} : { signature }) };
}
