import { basename } from "node:path";

/** What kubectl's plugin calls itself in messages. */
export const PLUGIN = "kubectl coredump";

/** Tell whether this program runs as kubectl's plugin. */
export function isPlugin(program: string): boolean {
  return program === PLUGIN;
}

/**
 * Tell from the name that the program was started by whether it is kubectl's plugin. kubectl finds a plugin by its file's
 * name, so that a link to this program is one.
 * @see https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
 */
export function startedAsPlugin(startedBy: string | undefined): boolean {
  return /^kubectl[-_]coredump(\.mjs|\.js|\.exe|\.cmd)?$/.test(basename(startedBy ?? ""));
}

/** Write `-1` as `~1`, which is no option: the newest, the one before and so on. */
export function rewriteCounts(args: readonly string[]): string[] {
  return args.map((arg) => arg.replace(/^-(\d{1,6})$/, "~$1"));
}

/** Make a place of what a person typed to the plugin: a URL stays, a bare name is one in the namespace. */
export function clusterUrl(text: string, namespace: string | undefined): string {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text)) return text;
  // kubectl's way to name a kind does no harm.
  const name = text.replace(/^(pod|pods|po|coredump|coredumps|cdump)\//, "");
  // `NAMESPACE/NAME`, as ls shows it where there are several.
  if (/^[^/]+\/[^/]+$/.test(name) && namespace === undefined) return `kube://${name}`;
  return `kube://${namespace ?? ""}/${name}`;
}
