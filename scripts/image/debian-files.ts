import fs from "node:fs";
import path from "node:path";
import type { Architecture } from "../build/private-loader.ts";
import { DEBIAN_PACKAGES, LIBRARIES, LOADER_PATHS, TRIPLETS } from "./paths.ts";

/** Find a file below a root, through links that are absolute inside of it. @throws {Error} when there is none */
function find(root: string, ...candidates: string[]): string {
  for (const candidate of candidates) {
    let file = path.join(root, candidate);
    for (let links = 0; links < 10; links += 1) {
      const info = fs.lstatSync(file, { throwIfNoEntry: false });
      if (info === undefined) break;
      if (!info.isSymbolicLink()) return file;
      const target = fs.readlinkSync(file);
      file = target.startsWith("/") ? path.join(root, target) : path.join(path.dirname(file), target);
    }
  }
  throw new Error(`${candidates.join(" and ")} are not in ${root}`);
}

function copy(from: string, to: string, mode: number): void {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(from, to);
  fs.chmodSync(to, mode);
}

/**
 * Copy what our programs need of Debian, and nothing else: loader and libraries for Node, chroot(1) for the self-test on
 * a node, certificates. No shell. Nothing of the other architecture is executed.
 * @param root Debian's files for the image's architecture: an unpacked base, or unpacked packages
 */
export function copyDebianFiles(root: string, out: string, arch: Architecture): void {
  const folders = ["lib", "usr/lib"].map((folder) => path.join(folder, TRIPLETS[arch]));
  for (const library of LIBRARIES) {
    const source = find(root, ...folders.map((folder) => path.join(folder, library)));
    copy(source, path.join(out, "lib", TRIPLETS[arch], library), 0o644);
  }
  const loader = LOADER_PATHS[arch];
  const base = path.basename(loader);
  copy(find(root, loader, ...folders.map((folder) => path.join(folder, base))), path.join(out, loader), 0o755);
  copy(find(root, "usr/sbin/chroot"), path.join(out, "usr/sbin/chroot"), 0o755);
  for (const name of DEBIAN_PACKAGES) {
    const copyright = `usr/share/doc/${name}/copyright`;
    copy(find(root, copyright, "usr/share/doc/gcc-12-base/copyright"), path.join(out, copyright), 0o644);
  }
}

/** Write the few files of /etc that a C library asks for, and the directories that a container needs. */
export function writeSystemFiles(out: string, certificates: string): void {
  const files: Record<string, string> = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  };
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(out, name)), { recursive: true });
    fs.writeFileSync(path.join(out, name), text);
  }
  copy(certificates, path.join(out, "etc/ssl/certs/ca-certificates.crt"), 0o644);
  fs.mkdirSync(path.join(out, "tmp"), { recursive: true });
  fs.chmodSync(path.join(out, "tmp"), 0o1777);
}
