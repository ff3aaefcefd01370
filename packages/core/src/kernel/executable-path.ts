/**
 * Decode the kernel's `%E`: the path with `!` for `/`. A `!` of the real name can't be told apart and comes out as `/`.
 * Answers nothing when the kernel had no path and gave the name of the process instead.
 * @see fs/coredump.c, cn_print_exe_file
 */
export function decodeExecutablePath(encoded: string): { exe?: string; exeDeleted?: true } {
  if (!encoded.startsWith("!") || encoded.endsWith(" (path unknown)")) return {};
  const path = encoded.replaceAll("!", "/");
  const deleted = / \(deleted\)$/.exec(path);
  return deleted === null ? { exe: path } : { exe: path.slice(0, deleted.index), exeDeleted: true };
}
