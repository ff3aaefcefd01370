import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256OfFile } from "../helpers/bundle-files.ts";
import { REPOSITORY } from "../helpers/repository.ts";

/** Our image, as the chart names it. */
export const OUR_REPOSITORY = "cdh.test/core-dump-handler";
/** The image of the pods that crash. */
export const CRASHER = "cdh.test/crasher:1.2";
/** The image that a sandbox runs. */
export const PAUSE = "cdh.test/pause:1";

/** An image's configuration, as in an OCI image. */
export interface ImageConfig {
  Cmd?: string[];
  Entrypoint?: string[];
  Env?: string[];
  User?: string;
}

/** Run a program. @returns what it printed; @throws {Error} with its words */
export function must(command: string, args: readonly string[], cwd?: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", cwd, maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}

/**
 * Make a folder that holds an image of one layer in docker's archive format, to be packed with tar.
 * @param root the file system of the image
 */
export async function makeImage(folder: string, name: string, root: string, config: ImageConfig): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const layer = join(folder, "layer.tar");
  must("tar", [
    "-C",
    root,
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "-cf",
    layer,
    ".",
  ]);
  const digest = `sha256:${await sha256OfFile(layer)}`;
  writeFileSync(
    join(folder, "config.json"),
    JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config,
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created: "1970-01-01T00:00:00Z" }],
    }),
  );
  writeFileSync(
    join(folder, "manifest.json"),
    JSON.stringify([{ Config: "config.json", RepoTags: [name], Layers: ["layer.tar"] }]),
  );
  return folder;
}

/** Make the images of the pods that crash and of the sandboxes, both from one static program. */
export async function makeCrasher(work: string): Promise<string[]> {
  const root = join(work, "crasher");
  mkdirSync(join(root, "tmp"), { recursive: true });
  must("chmod", ["1777", join(root, "tmp")]);
  const source = join(REPOSITORY, "test/pods/crasher.c");
  must("gcc", ["-static", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-o", join(root, "crasher"), source]);
  return [
    await makeImage(join(work, "image-crasher"), CRASHER, root, { Cmd: ["/crasher"] }),
    // Another image than the one above, which has the same files: an image that has two names can be told by either.
    await makeImage(join(work, "image-pause"), PAUSE, root, { Cmd: ["/crasher", "wait"] }),
  ];
}
