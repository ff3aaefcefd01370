import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { REPOSITORY } from "../helpers/repository.ts";
import { makeImage, must, OUR_REPOSITORY } from "./images.ts";

/** The version that was built. */
export const VERSION: string = manifest.version;
/** Another one, as long as the first. */
export const NEXT_VERSION = VERSION.replace(/^\d/, (digit) => String((Number(digit) + 1) % 10));

const HOME = "opt/core-dump-handler";

/** Assemble our image's file system from dist/ and this machine's Debian, as the Dockerfile does from Debian's packages. */
export function assembleOurRoot(work: string): string {
  const root = join(work, "root");
  must(process.execPath, [join(REPOSITORY, "scripts/image/assemble.ts"), "--debian=/", `--out=${root}`]);
  return root;
}

/** Make it an image, configured as the Dockerfile does. */
export async function packOurImage(work: string, root: string, tag: string): Promise<string> {
  return makeImage(join(work, `image-${tag}`), `${OUR_REPOSITORY}:${tag}`, root, {
    Entrypoint: ["/opt/core-dump-handler/entrypoint"],
    Env: ["PATH=/opt/core-dump-handler/bin:/usr/sbin:/usr/bin:/bin"],
    User: "65532:65532",
  });
}

/** Turn the programs of a file system into another version of themselves: other files, which say another number. */
export function makeNextVersion(root: string): void {
  const cdc = join(root, HOME, "bin/cdc");
  const bytes = readFileSync(cdc);
  // What comes before is the JavaScript engine's own.
  for (let at = bytes.indexOf("@cdh/"); ; at += VERSION.length) {
    at = bytes.indexOf(VERSION, at);
    if (at < 0) break;
    bytes.write(NEXT_VERSION, at);
  }
  writeFileSync(cdc, bytes);
  const lib = join(root, HOME, "lib");
  for (const name of readdirSync(lib, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".mjs")) continue;
    const path = join(lib, name);
    const text = readFileSync(path, "utf8");
    const version = new RegExp(`(@cdh/[a-z-]+",\\s*version:\\s*")${VERSION.replaceAll(".", "\\.")}`, "g");
    writeFileSync(path, text.replace(version, `$1${NEXT_VERSION}`));
  }
}
