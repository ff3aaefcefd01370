import type { Manifest } from "@cdh/core/bundle/manifest";
import { pluginCommands, type OpenCommands } from "@cdh/core/report/opening";
import { asOperand, shellQuote } from "../text/shell-quote.ts";

/**
 * Say what to paste to open a bundle.
 * @param label the bundle's: a path or a URL
 */
export function openCommandsOf(label: string, { crashId }: Pick<Manifest, "crashId">): OpenCommands {
  const [, namespace, name] = /^kube:\/\/([a-z0-9.-]+)\/([a-z0-9.-]+)$/.exec(label) ?? [];
  if (namespace !== undefined && name !== undefined) return pluginCommands(namespace, name);
  const quoted = shellQuote(asOperand(label));
  const folder = ["crash", /^[0-9a-f]{8}/.exec(crashId)?.[0]].filter((part) => part !== undefined).join("-");
  return {
    debug: `cdh-inspect debug ${quoted}`,
    unpack: `cdh-inspect unpack --with-binaries ${quoted} ${folder}`,
  };
}
