/** A third-party library, and the only files that may import it (patterns on the path in the checkout). */
export interface Ownership {
  library: RegExp;
  owner: RegExp;
  said: string;
}

/** Each third-party library has one owning file, so that it can be replaced there. */
export const OWNERSHIPS: readonly Ownership[] = [
  { library: /^execa$/, owner: /^packages\/core\/src\/service\/exec\.ts$/, said: "packages/core/src/service/exec.ts" },
  {
    library: /^ini$/,
    owner: /^packages\/core\/src\/service\/(config|env-file)\.ts$/,
    said: "core's service/config.ts and env-file.ts",
  },
  { library: /^yazl$/, owner: /^packages\/core\/src\/bundle\/writer\.ts$/, said: "core's bundle/writer.ts" },
  { library: /^yauzl$/, owner: /^packages\/core\/src\/bundle\/reader\.ts$/, said: "core's bundle/reader.ts" },
  { library: /^@(aws-sdk|smithy)\//, owner: /^packages\/core\/src\/store\/s3\/[^/]*\.ts$/, said: "core's store/s3/" },
  {
    library: /^@azure\//,
    owner: /^packages\/core\/src\/store\/azure\/[^/]*\.ts$/,
    said: "core's store/azure/",
  },
  {
    library: /^google-auth-library$/,
    owner: /^packages\/core\/src\/store\/gcs\/[^/]*\.ts$/,
    said: "core's store/gcs/",
  },
  {
    library: /^@kubernetes\//,
    owner: /^packages\/cdh-inspect\/src\/kube\/kubeconfig\.ts$/,
    said: "cdh-inspect's kube/kubeconfig.ts",
  },
  {
    library: /^croner$/,
    owner: /^packages\/cdh-upload\/src\/queue\/timetable\.ts$/,
    said: "cdh-upload's queue/timetable.ts",
  },
  {
    library: /^clipanion$/,
    owner: /^packages\/(core\/src\/cli\/(cli|flags|settings-command)\.ts|[^/]+\/src\/(main\.ts|commands\/.*))$/,
    said: "core's cli/cli.ts, flags.ts and settings-command.ts, a program's main.ts, its commands and their base",
  },
  {
    library: /^(node:)?child_process$/,
    owner: /^packages\/(core\/src\/(service\/exec|cli\/cli|base\/clock)\.ts|[^/]+\/src\/main\.ts)$/,
    said: "core's service/exec.ts",
  },
  {
    library: /^(node:)?timers(\/promises)?$/,
    owner: /^packages\/core\/src\/base\/clock\.ts$/,
    said: "core's base/clock.ts: whoever waits has a clock passed in",
  },
  {
    library: /^(node:)?process$/,
    owner: /^$/,
    said: "nobody: the global `process` is enough, and its environment comes in through the context",
  },
];

/** Files that may read the environment, the clock and the console, and may end the process. */
export const AMBIENT: RegExp =
  /^packages\/(core\/src\/(cli\/(cli|ending)|base\/clock|service\/exec)\.ts|[^/]+\/src\/main\.ts|cdh-api\/src\/page\/client\/main\.ts)$/;
