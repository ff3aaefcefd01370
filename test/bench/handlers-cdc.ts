import { rmSync, statSync } from "node:fs";
import { notBuilt } from "../helpers/built.ts";
import { installComposer } from "../helpers/composer-install.ts";
import { type KernelHold, readKernelSettings } from "../helpers/kernel-state.ts";
import { type HandlerOrReason, outcomeOf, until } from "./handler.ts";
import { PATIENCE_MS } from "./handlers-shell.ts";

/** Install the composer with one kind of compression. Its output is the whole bundle, its end is the published bundle. */
export async function composerHandler(
  hold: KernelHold,
  compression: "zstd" | "deflate" | "none",
): Promise<HandlerOrReason> {
  const name = `cdc-${compression}` as const;
  const reason = notBuilt("cdc");
  if (reason !== undefined) return { name, unavailable: reason };
  const composer = await installComposer(hold, {
    wrapper: "measured",
    settings: { COMPRESSION: compression },
  });
  const pattern = readKernelSettings().corePattern;
  let done = 0;
  return {
    name,
    command: `cdc, COMPRESSION=${compression}, defaults else`,
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
