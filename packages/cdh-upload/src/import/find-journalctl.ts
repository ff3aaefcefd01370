import { existsSync } from "node:fs";
import { onHost, type Roots } from "@cdh/core/roots";

/** Where distributions keep the C library's loader, and the libraries beside it. */
const PLACES: readonly { loader: string; libraries: string }[] = [
  { loader: "/usr/lib64/ld-linux-x86-64.so.2", libraries: "/usr/lib64" },
  { loader: "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", libraries: "/usr/lib/x86_64-linux-gnu" },
  { loader: "/usr/lib/ld-linux-aarch64.so.1", libraries: "/usr/lib64" },
  { loader: "/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", libraries: "/usr/lib/aarch64-linux-gnu" },
];

/** Where systemd's own library lies, relative to the others. */
const SYSTEMD_FOLDERS = ["/usr/lib/systemd"];

/**
 * Find what reads the node's journal: the node's own journalctl, which knows the format that its journald writes. In a
 * container it is started by the node's own loader, so that nothing of it is needed in the image.
 * @param wanted JOURNALCTL: a program, taken as it is
 * @returns the program and its first arguments
 */
export function findJournalctl(roots: Roots, wanted: string | undefined): [string, ...string[]] {
  if (wanted !== undefined) return [wanted];
  const program = onHost(roots, "/usr/bin/journalctl");
  const place = PLACES.find(({ loader }) => existsSync(onHost(roots, loader)));
  if (roots.host === "/" || place === undefined || !existsSync(program)) return ["journalctl"];
  const { loader, libraries } = place;
  const folders = [libraries, `${libraries}/systemd`, ...SYSTEMD_FOLDERS].map((folder) => onHost(roots, folder));
  return [onHost(roots, loader), "--library-path", folders.join(":"), program];
}
