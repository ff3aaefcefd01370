/**
 * `npm run bench -- files`: what a store keeps of the programs and libraries of 1,000 images that share libraries, against what their
 * crashes bring. The images are made of this machine's programs and libraries, each with a build-id of its own.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { linkSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { builtPath } from "../helpers/built.ts";

const PROGRAMS = ["git", "ssh", "openssl", "curl", "sqlite3", "tar", "xz", "make"].map((name) => `/usr/bin/${name}`);
const LIBRARIES = [
  "libc.so.6",
  "libm.so.6",
  "libstdc++.so.6",
  "libgcc_s.so.1",
  "libssl.so.3",
  "libcrypto.so.3",
  "libz.so.1",
];
const FOLDER = "/usr/lib/x86_64-linux-gnu";

/** The same file as another build: its build-id is a hash of a name. */
function rebuild(bytes: Buffer, name: string): { bytes: Buffer; buildId: string } | undefined {
  const note = bytes.indexOf(Buffer.from("\x14\0\0\0\x03\0\0\0GNU\0", "latin1"));
  if (note === -1) return undefined;
  const id = createHash("sha1").update(name).digest();
  const copy = Buffer.from(bytes);
  id.copy(copy, note + 12);
  return { bytes: copy, buildId: id.toString("hex") };
}

/** Images that are pushed by one command. */
const AT_ONCE = 50;

interface Listed {
  buildId: string;
  sizeBytes: number;
  storedBytes: number;
}

const { values } = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== "files"),
  options: { images: { type: "string", default: "1000" }, bases: { type: "string", default: "12" } },
});
const [images, bases] = [Number(values.images), Number(values.bases)];
const place = mkdtempSync(join(tmpdir(), "cdh-bench-files-"));
try {
  const store = join(place, "store");
  const cdhInspect = builtPath("cdh-inspect");
  const push = (folder: string): string =>
    execFileSync(cdhInspect, ["symbols", "push", "--store", store, "-o", "jsonl", folder], {
      encoding: "utf8",
      maxBuffer: 1024 * 1024 * 1024,
    });
  // One set of libraries a base image.
  const sets = Array.from({ length: bases }, (_, base) => {
    const folder = join(place, `base-${base}`);
    mkdirSync(folder);
    return LIBRARIES.flatMap((name) => {
      const made = rebuild(readFileSync(realpathSync(join(FOLDER, name))), `${name} of ${base}`);
      if (made === undefined) return [];
      writeFileSync(join(folder, name), made.bytes);
      return [{ path: join(folder, name), buildId: made.buildId }];
    });
  });
  const programs = PROGRAMS.map((path) => readFileSync(realpathSync(path)));
  const needed: string[] = [];
  const states = new Map<string, number>();
  const folder = join(place, "images");
  for (let from = 0; from < images; from += AT_ONCE) {
    for (let image = from; image < Math.min(images, from + AT_ONCE); image += 1) {
      const own = join(folder, String(image));
      mkdirSync(own, { recursive: true });
      const made = rebuild(programs[image % programs.length] ?? Buffer.alloc(0), `program of ${image}`);
      if (made === undefined) throw new Error(`${PROGRAMS[image % PROGRAMS.length]} has no build-id`);
      writeFileSync(join(own, "server"), made.bytes);
      needed.push(made.buildId);
      for (const { path, buildId } of sets[image % bases] ?? []) {
        linkSync(path, join(own, basename(path)));
        needed.push(buildId);
      }
    }
    for (const line of push(folder).trim().split("\n")) {
      const { state } = JSON.parse(line) as { state: string };
      states.set(state, (states.get(state) ?? 0) + 1);
    }
    rmSync(folder, { recursive: true });
  }
  const listed = execFileSync(cdhInspect, ["symbols", "ls", "--store", store, "-o", "json"], {
    encoding: "utf8",
    maxBuffer: 1024 * 1024 * 1024,
  });
  const { files } = JSON.parse(listed) as { files: Listed[] };
  const byId = new Map(files.map((file) => [file.buildId, file]));
  const total = (ids: readonly string[], key: "sizeBytes" | "storedBytes"): number =>
    ids.reduce((sum, id) => sum + (byId.get(id)?.[key] ?? 0), 0);
  const ids = [...byId.keys()];
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
  const seen = total(needed, "sizeBytes");
  const stored = total(ids, "storedBytes");
  process.stdout.write(
    [
      `${images} images of ${PROGRAMS.length} kinds of program on ${bases} base images, ${LIBRARIES.length} libraries each`,
      `files that crashes bring: ${needed.length}, ${mib(seen)}, packed ${mib(total(needed, "storedBytes"))}`,
      `files that are kept: ${ids.length}, ${mib(total(ids, "sizeBytes"))}, packed ${mib(stored)}`,
      `stored / seen: ${((100 * stored) / seen).toFixed(1)} %`,
      `pushes: ${[...states].map(([state, count]) => `${count} ${state}`).join(", ")}`,
      "",
    ].join("\n"),
  );
} finally {
  rmSync(place, { recursive: true, force: true });
}
