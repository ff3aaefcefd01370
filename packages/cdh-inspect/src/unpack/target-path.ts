import { posix, win32 } from "node:path";

/** Names of devices, with any extension; a file of such a name cannot be made. @see Win32 "Naming Files, Paths, and Namespaces" */
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)/i;

/**
 * Say where an entry lands. Names are checked when the bundle is opened: none of them leaves the directory. What Windows
 * takes for something else than a name (`a:b` is a hidden stream of `a`) is written with `_` there.
 */
export function targetPath(directory: string, name: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== "win32") return posix.join(directory, name);
  const parts = name.split("/").map((part) =>
    part
      .replaceAll(/[<>:"|?*]/g, "_")
      .replace(/[. ]+$/, "_")
      .replace(WINDOWS_DEVICE, "_$1"),
  );
  return win32.join(directory, parts.join("/"));
}

/**
 * Say where each of a bundle's entries lands, each in a place of its own: names that `_` made one, or that are one where upper
 * and lower case are the same, get a number. So does a name that is needed while another file is written. An entry has the
 * same place in every run.
 */
export function targetPaths(
  directory: string,
  names: readonly string[],
  platform: NodeJS.Platform = process.platform,
): Map<string, string> {
  const isChanged = (name: string): boolean =>
    platform === "win32" && targetPath(".", name, platform) !== win32.join(".", name);
  const paths = new Map<string, string>();
  const taken = new Set<string>();
  // A name that can stand as it is keeps it, whichever comes first.
  for (const name of [...names.filter((one) => !isChanged(one)), ...names.filter(isChanged)]) {
    const wanted = targetPath(directory, name, platform);
    let path = wanted;
    for (let number = 2; keysOf(path).some((key) => taken.has(key)); number += 1) path = `${wanted}~${number}`;
    for (const key of keysOf(path)) taken.add(key);
    paths.set(name, path);
  }
  return paths;
}

/** What a file needs, as a file system sees it that does not tell upper case from lower. */
function keysOf(path: string): string[] {
  const key = path.normalize("NFC").toLowerCase();
  return [key, `${key}.partial`, `${key}.partial.json`];
}
