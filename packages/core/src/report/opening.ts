import { printable } from "../cli/output.ts";
import type { ModuleParts, OpensWith } from "../debug-files/opens-with.ts";

/** What a person pastes to look further. */
export interface OpenCommands {
  /** Starts a debugger with everything in place. */
  debug: string;
  /** Writes a directory that every gdb opens, and VS Code. */
  unpack: string;
}

/** Names of a kind that are shown; the others are counted. */
const NAMES_MAX = 6;

/** Say in a line with what a debugger opens the crash; undefined where nobody was asked, or no module is known. */
export function opensWithText({ modules, notAsked, trouble }: OpensWith): string | undefined {
  const asked = modules.filter(({ buildId }) => buildId !== undefined);
  const known = asked.filter(({ debuginfo }) => debuginfo !== undefined);
  const open = asked.length - known.length + (notAsked ?? 0);
  const parts = [
    part(
      "lines",
      known.filter(({ debuginfo }) => debuginfo),
    ),
    part(
      "functions only",
      known.filter(({ debuginfo, executable }) => !debuginfo && executable),
    ),
    part(
      "nothing stored",
      known.filter(({ debuginfo, executable }) => !debuginfo && !executable),
    ),
    part(
      "no build-id",
      modules.filter(({ buildId }) => buildId === undefined),
    ),
    open === 0 ? undefined : `not known: ${open}${trouble === undefined ? "" : ` (${printable(trouble)})`}`,
  ].filter((text) => text !== undefined);
  return modules.length === 0 ? undefined : parts.join("; ");
}

function part(words: string, modules: readonly ModuleParts[]): string | undefined {
  if (modules.length === 0) return undefined;
  const names = [...new Set(modules.map(({ path }) => printable(path.slice(path.lastIndexOf("/") + 1))))];
  const more = names.length - NAMES_MAX;
  return `${words}: ${names.slice(0, NAMES_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** How kubectl's plugin opens a crash of the cluster. Both names are Kubernetes' own, which no shell reads anything into. */
export function pluginCommands(namespace: string, name: string): OpenCommands {
  const at = `-n ${namespace} ${name}`;
  return {
    debug: `kubectl coredump debug ${at}`,
    unpack: `kubectl coredump unpack --with-binaries ${at} crash-${name.slice(0, 8)}`,
  };
}

/** Say what a debugger shows of one module, by its path and build-id; empty where nobody can tell. */
export function shownOf(
  opensWith: OpensWith | undefined,
  { path, buildId }: { path: string; buildId?: string | undefined },
): string {
  const found = opensWith?.modules.find((one) =>
    buildId === undefined ? one.path === path : one.buildId === buildId.toLowerCase(),
  );
  if (found?.debuginfo === undefined) return "";
  if (found.debuginfo) return "lines";
  return found.executable === true ? "functions" : "nothing";
}
