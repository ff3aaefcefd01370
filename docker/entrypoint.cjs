#!/opt/core-dump-handler/node/bin/node --no-warnings
// Becomes one of the programs, by its name; anything else gets help.
const PROGRAMS = {
  "cdh-sysctl": "install, watch, restore, status, doctor: looks after a node (privileged)",
  "cdh-upload": "run, sweep, check: moves bundles to the store",
  "cdh-inspect": "ls, show, verify, unpack, …: reads bundles",
  "cdh-api": "serve: the store as a Kubernetes API, as REST and as a page",
  cdc: "the composer that the kernel starts",
};
const [program, ...rest] = process.argv.slice(2);
if (program !== undefined && Object.hasOwn(PROGRAMS, program)) {
  process.execve(`/opt/core-dump-handler/bin/${program}`, [program, ...rest], process.env);
}
process.stderr.write(
  [
    "core-dump-handler: core dumps of Kubernetes pods and nodes",
    "",
    ...Object.entries(PROGRAMS).map(([name, does]) => `  ${name.padEnd(12)}  ${does}`),
    "",
    "Each has --help. The chart starts them by /opt/core-dump-handler/bin/NAME.",
    "",
  ].join("\n"),
);
process.exitCode = 2;
