/**
 * The rooms of each package, in the order in which they may know of each other: a file imports, types included, only from its
 * own room and from rooms on lines above. Folders end in a slash. See docs/architecture.md.
 */
const LAYERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  core: [
    ["base/"],
    ["async/", "elf/", "files/", "kernel/", "service/"],
    ["store/"],
    ["bundle/", "cli/"],
    ["groups/"],
    ["composer/", "container/", "crash/", "debug-files/"],
    ["report/"],
    ["foreign/", "spool/"],
  ],
  unwind: [["elf/", "names/"], ["tables/", "go/"], ["walk/", "dwarf/"], ["process/"], ["goroutines/", "python/"]],
  cdc: [
    ["version.ts", "kernel/"],
    ["self/"],
    ["stack/"],
    ["binaries/"],
    ["request.ts"],
    ["who/"],
    ["take/"],
    ["decide/"],
    ["keep/"],
    ["compose.ts"],
    ["first-read.ts", "kernel-mode.ts"],
    ["commands/"],
    ["person-mode.ts"],
    ["main.ts"],
  ],
  "cdh-sysctl": [
    ["version.ts", "node/"],
    ["settings.ts", "check/"],
    ["change/"],
    ["watch/"],
    ["commands/"],
    ["main.ts"],
  ],
  "cdh-upload": [
    ["version.ts", "threads.ts", "queue/", "import/"],
    ["send/", "rules/"],
    ["tell/"],
    ["settings.ts", "tidy/"],
    ["failures.ts"],
    ["uploader.ts"],
    ["daemon.ts", "housekeeping.ts"],
    ["service.ts"],
    ["sweep.ts"],
    ["commands/"],
    ["main.ts"],
  ],
  "cdh-inspect": [
    ["version.ts", "concurrently.ts", "small-memory.ts", "read/", "unpack/", "text/"],
    ["kube/", "debug/"],
    ["find/"],
    ["commands/"],
    ["main.ts"],
  ],
  "cdh-api": [
    ["version.ts", "group.ts", "page/"],
    ["manifests/", "http/"],
    ["index/", "auth/"],
    ["groups/"],
    ["segments/"],
    ["retention/", "route/"],
    ["settings.ts", "routes.ts"],
    ["call/"],
    ["kube/"],
    ["download/"],
    ["rest/"],
    ["serve/"],
    ["commands/"],
    ["main.ts"],
  ],
};

/** Where a file of a package belongs. */
interface Room {
  name: string;
  line: number;
}

/** Tell whether a package's rooms have an order here. */
export function hasLayers(name: string): boolean {
  return Object.hasOwn(LAYERS, name);
}

/** Find the room of a file. @param file relative to the package's `src` @returns undefined when it has none */
export function tryRoomOf(name: string, file: string): Room | undefined {
  for (const [line, rooms] of (LAYERS[name] ?? []).entries()) {
    for (const room of rooms) {
      if (room.endsWith("/") ? file.startsWith(room) : file === room) return { name: room, line };
    }
  }
  return undefined;
}

/** Say what is wrong with an import between two files of a package, given relative to its `src`; undefined when nothing is. */
export function complaintBetween(name: string, from: string, to: string): string | undefined {
  const own = tryRoomOf(name, from);
  const other = tryRoomOf(name, to);
  if (own === undefined || other === undefined || own.name === other.name || other.line < own.line) return undefined;
  return `${name}'s ${own.name} must not know of ${other.name}: scripts/lint/layers.ts has their order`;
}
