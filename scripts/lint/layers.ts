/**
 * The order of packages/core/src: a file imports only from its own layer and the ones before it.
 * Folders end in a slash; the longest match wins. See docs/architecture.md.
 */
const LAYERS: readonly (readonly string[])[] = [
  [
    "errors.ts",
    "units.ts",
    "signals.ts",
    "kernel/",
    "elf/",
    "bundle/naming.ts",
    "bundle/manifest.ts",
    "bundle/dump-info.ts",
  ],
  ["exec.ts", "clock.ts", "roots.ts", "sync-directory.ts"],
  [
    "log.ts",
    "config.ts",
    "env-file.ts",
    "metrics.ts",
    "http-server.ts",
    "kubernetes.ts",
    "container/",
    "bundle/",
    "spool/",
    "store/",
  ],
  ["cli.ts", "completion.ts", "help.ts", "misuse.ts", "output.ts", "progress.ts", "table-width.ts", "report/"],
];

/** Find the layer of a file, given relative to packages/core/src; undefined when it has none. */
export function tryLayerOf(file: string): number | undefined {
  let best: { layer: number; length: number } | undefined;
  for (const [layer, places] of LAYERS.entries()) {
    for (const place of places) {
      const matches = place.endsWith("/") ? file.startsWith(place) : file === place;
      if (matches && place.length > (best?.length ?? 0)) best = { layer, length: place.length };
    }
  }
  return best?.layer;
}

/** A third-party library, and the only files that may import it (patterns on the path in the checkout). */
export interface Ownership {
  library: RegExp;
  owner: RegExp;
  said: string;
}

/** Each third-party library has one owning file, so that it can be replaced there. */
export const OWNERSHIPS: readonly Ownership[] = [
  { library: /^execa$/, owner: /^packages\/core\/src\/exec\.ts$/, said: "packages/core/src/exec.ts" },
  { library: /^ini$/, owner: /^packages\/core\/src\/(config|env-file)\.ts$/, said: "core's config.ts and env-file.ts" },
  { library: /^yazl$/, owner: /^packages\/core\/src\/bundle\/writer\.ts$/, said: "core's bundle/writer.ts" },
  { library: /^yauzl$/, owner: /^packages\/core\/src\/bundle\/reader\.ts$/, said: "core's bundle/reader.ts" },
  { library: /^@(aws-sdk|smithy)\//, owner: /^packages\/core\/src\/store\/s3[^/]*\.ts$/, said: "core's store/s3*.ts" },
  {
    library: /^@kubernetes\//,
    owner: /^packages\/cdh-inspect\/src\/kube\/kubeconfig\.ts$/,
    said: "cdh-inspect's kube/kubeconfig.ts",
  },
  {
    library: /^croner$/,
    owner: /^packages\/cdh-upload\/src\/timetable\.ts$/,
    said: "cdh-upload's timetable.ts",
  },
  {
    library: /^clipanion$/,
    owner: /^packages\/(core\/src\/cli\.ts|cdh-inspect\/src\/inspect-command\.ts|[^/]+\/src\/(main\.ts|commands\/.*))$/,
    said: "core's cli.ts, a program's main.ts, its commands and their base",
  },
  {
    library: /^(node:)?child_process$/,
    owner: /^packages\/(core\/src\/(exec|cli|clock)\.ts|[^/]+\/src\/main\.ts)$/,
    said: "core's exec.ts",
  },
  {
    library: /^(node:)?process$/,
    owner: /^$/,
    said: "nobody: the global `process` is enough, and its environment comes in through the context",
  },
];

/** Files that may read the environment, the clock and the console, and may end the process. */
export const AMBIENT: RegExp =
  /^packages\/(core\/src\/(cli|clock|exec)\.ts|[^/]+\/src\/main\.ts|cdh-api\/src\/page\/client\/main\.ts)$/;
