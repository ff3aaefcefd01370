import { createHash } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";
import { makeFolders } from "@cdh/core/files/make-folders";
import { shellQuote } from "../text/shell-quote.ts";

/** A program that knows images. */
export type ImageTool = "podman" | "docker";

const PULL_TIMEOUT_MS = 900_000;
const STAMP = ".cdh-complete";

/** An image's name, and nothing that a command line could take for something else. */
const IMAGE_REF = /^[a-z0-9][a-zA-Z0-9._/:@-]{0,511}$/;

/**
 * Say which image crashed, as exactly as the bundle knows it: by digest where there is one.
 * @throws {CdhError} CDH_NOT_FOUND when the bundle names none, CDH_BUNDLE_JSON when what it names is no image
 */
export function imageOf(manifest: Manifest): string {
  const { imageRef, imageId } = manifest.container ?? {};
  const byDigest = [imageId, imageRef].find((text) => text?.includes("@sha256:") === true);
  const image = byDigest?.replace(/^[a-z-]+:\/\//, "") ?? imageRef;
  if (image === undefined || image === "")
    throw new CdhError("CDH_NOT_FOUND", "the bundle names no image", {
      hint: "give its root file system with --sysroot",
    });
  if (!IMAGE_REF.test(image)) throw new CdhError("CDH_BUNDLE_JSON", `not an image: ${JSON.stringify(image)}`);
  return image;
}

/** Find podman or docker; undefined when there is neither, or it does not answer. */
export async function findImageTool(): Promise<ImageTool | undefined> {
  for (const tool of ["podman", "docker"] as const) {
    const probe = await run(tool, ["version"], { timeoutMs: 15_000 });
    if (!probe.failed) return tool;
  }
  return undefined;
}

/** Where unpacked images are kept. @see the XDG base directory specification */
export function imageCache(env: Readonly<Record<string, string | undefined>>): string {
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "cdh-inspect", "images");
}

/**
 * Unpack an image's root file system, once; later calls find it in the cache. Nothing of the image is run.
 * @returns the directory
 * @throws {CdhError} CDH_RUNTIME when the image cannot be had
 */
export async function unpackImage(
  tool: ImageTool,
  image: string,
  cacheDirectory: string,
  signal: AbortSignal,
): Promise<string> {
  const directory = join(cacheDirectory, createHash("sha256").update(image).digest("hex").slice(0, 32));
  // A tag may mean another image tomorrow; a digest never does.
  const isKept =
    image.includes("@sha256:") && (await readFile(join(directory, STAMP), "utf8").catch(() => "")) === image;
  if (isKept) return directory;
  const partial = `${directory}.partial`;
  await removeTree(partial);
  await makeFolders(partial, 0o700);
  const created = await run(tool, ["create", "--pull=missing", "--entrypoint=/", image, "/"], {
    timeoutMs: PULL_TIMEOUT_MS,
    signal,
  });
  if (created.failed)
    throw new CdhError("CDH_RUNTIME", `${tool} cannot create a container of ${image}: ${lastLine(created.stderr)}`);
  const id = created.stdout.trim().split("\n").at(-1) ?? "";
  const archive = `${partial}.tar`;
  try {
    const exported = await run(tool, ["export", `--output=${archive}`, id], { timeoutMs: PULL_TIMEOUT_MS, signal });
    if (exported.failed)
      throw new CdhError("CDH_RUNTIME", `${tool} cannot export ${image}: ${lastLine(exported.stderr)}`);
    // Devices need root and are of no use to a debugger; whatever tar complains about, the files it could write are there.
    const extracted = await run("tar", ["-x", "-f", archive, "-C", partial, "--exclude=dev/*", "--no-same-owner"], {
      timeoutMs: PULL_TIMEOUT_MS,
      signal,
    });
    if (extracted.notStarted !== undefined || extracted.aborted || extracted.timedOut)
      throw new CdhError("CDH_RUNTIME", `cannot unpack ${image}: ${lastLine(extracted.stderr) || "tar is missing"}`);
    await writeFile(join(partial, STAMP), image);
    await removeTree(directory);
    await rename(partial, directory);
  } catch (error) {
    await removeTree(partial);
    if (error instanceof CdhError) throw error;
    throw new CdhError("CDH_DISK", `cannot unpack ${image} to ${cacheDirectory}: ${reasonOf(error)}`, { cause: error });
  } finally {
    await rm(archive, { force: true });
    await run(tool, ["rm", id], { timeoutMs: 60_000 });
  }
  return directory;
}

/** Commands for a person to do the same where the image can be pulled, quoted for a shell. */
export function commandsElsewhere(manifest: Manifest, image: string): string[] {
  const { name, namespace } = manifest.pod ?? {};
  const commands = [`podman run --rm -it --entrypoint sh -v "$PWD:/crash:ro" ${shellQuote(image)}`];
  if (name !== undefined && namespace !== undefined) {
    commands.push(
      `kubectl debug -n ${shellQuote(namespace)} -it ${shellQuote(name)} --image=${shellQuote(image)} --copy-to=${shellQuote(`${name.slice(0, 57)}-debug`)} -- sh`,
    );
  }
  return commands;
}

async function removeTree(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
