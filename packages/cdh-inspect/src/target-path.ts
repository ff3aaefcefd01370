import { posix, win32 } from "node:path";

/** Names of devices, with any extension; a file of such a name cannot be made. @see Win32 "Naming Files, Paths, and Namespaces" */
const WINDOWS_DEVICE = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)/i;

/**
 * Say where an entry lands. Names are checked when the bundle is opened: none of them leaves the directory. What Windows
 * takes for something else than a name (`a:b` is a hidden stream of `a`) is written with `_` there.
 */
export function targetPath(directory: string, name: string, platform: NodeJS.Platform = process.platform): string {
  const parts = name.split("/");
  if (platform !== "win32") return posix.join(directory, ...parts);
  return win32.join(
    directory,
    ...parts.map((part) =>
      part
        .replaceAll(/[<>:"|?*]/g, "_")
        .replace(/[. ]+$/, "_")
        .replace(WINDOWS_DEVICE, "_$1"),
    ),
  );
}
