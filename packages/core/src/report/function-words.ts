import type { FrameFacts } from "../bundle/manifest.ts";
import { ruleFor } from "../groups/frame-rules.ts";
import { bareName, normalName } from "../groups/normal-name.ts";

/** Longest name in a line, in characters. */
const NAME_MAX = 72;

/** Tell whether a function only carries a failure to the end of the process. @param name as the manifest has it */
export function isCarrier(name: string): boolean {
  return ruleFor(normalName(name))?.role === "carrier";
}

/** Tell whether a function only starts a program or a thread. @param name as the manifest has it */
export function isStarter(name: string): boolean {
  const rule = ruleFor(normalName(name));
  // Go's runtime calls a program's functions, and is called by none that anybody looks for.
  return rule?.role === "starter" || (rule?.of === "Go" && rule.role === "carrier");
}

/** Write the name of a frame's function as {@link shortFunction} does; a script's as it is, whose `<lambda>` is no template. */
export function frameFunction({ function: name, kind }: Pick<FrameFacts, "function" | "kind">): string | undefined {
  if (name === undefined || kind === undefined) return name === undefined ? undefined : shortFunction(name);
  return name.length <= NAME_MAX ? name : `…${name.slice(-NAME_MAX)}`;
}

/** Write a function's name without what it is called with, and without the arguments of templates. Bounded. */
export function shortFunction(name: string): string {
  const bare = bareName(name);
  if (bare.length <= NAME_MAX) return bare;
  // The end tells most: it is the function's own name.
  return `…${bare.slice(-NAME_MAX)}`;
}
