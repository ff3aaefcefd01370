import { copyFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { notBuilt } from "../helpers/built.ts";
import { installComposer } from "../helpers/composer-install.ts";
import { type KernelHold, readKernelSettings } from "../helpers/kernel-state.ts";
import { type HandlerOrReason, outcomeOf, until } from "./handler.ts";
import { PATIENCE_MS } from "./handlers-shell.ts";
import type { HandlerName } from "./options.ts";

/** Looks for the place of each crash, as the default does, and takes every core. */
const EACH_PLACE = { KEEP_PER_SITE: "1000/24h" };

/** Settings of each composer that is measured. */
const SETTINGS = {
  "cdc-zstd": { COMPRESSION: "zstd", ...EACH_PLACE },
  "cdc-deflate": { COMPRESSION: "deflate", ...EACH_PLACE },
  "cdc-none": { COMPRESSION: "none", ...EACH_PLACE },
  // What is learnt beside the core while the process is held, or read after it.
  "cdc-core-only": { COMPRESSION: "zstd", STACK: "false", MESSAGE: "false", ARTEFACTS: "false", BINARIES: "off" },
  "cdc-other": { COMPRESSION: "zstd", ...EACH_PLACE },
} as const satisfies Partial<Record<HandlerName, Record<string, string>>>;

/** Name a handler that is a composer. */
export type ComposerName = keyof typeof SETTINGS;

/** Tell whether a handler is a composer. */
export function isComposer(name: HandlerName): name is ComposerName {
  return name in SETTINGS;
}

/**
 * Install the composer with one kind of settings. Its output is the whole bundle, its end is the published bundle.
 * @param other the program of `cdc-other`
 */
export async function composerHandler(
  hold: KernelHold,
  name: ComposerName,
  other: string | undefined,
): Promise<HandlerOrReason> {
  const reason = notBuilt("cdc");
  if (reason !== undefined) return { name, unavailable: reason };
  if (name === "cdc-other" && other === undefined) return { name, unavailable: "--other names no composer" };
  const settings: Record<string, string> = SETTINGS[name];
  const composer = await installComposer(hold, { wrapper: "measured", settings });
  if (name === "cdc-other" && other !== undefined) copyFileSync(other, join(composer.hostDir, "cdc"));
  const pattern = readKernelSettings().corePattern;
  let done = 0;
  return {
    name,
    command: `${name === "cdc-other" ? "another composer" : "cdc"}, ${Object.entries(settings)
      .map(([key, value]) => `${key}=${value}`)
      .join(" ")}, defaults else`,
    pattern,
    finish: async (pid) => {
      const measured = await until(name, PATIENCE_MS, () => composer.measurements()[done]);
      done += 1;
      const bundle = await composer.bundleOf(pid);
      if (!bundle.manifest.core.complete)
        throw new Error(`${name}: the core is not complete: ${JSON.stringify(bundle.manifest.core)}`);
      const outputBytes = statSync(bundle.path).size;
      rmSync(bundle.path);
      return outcomeOf([measured], outputBytes);
    },
    [Symbol.asyncDispose]: () => composer[Symbol.asyncDispose](),
  };
}
