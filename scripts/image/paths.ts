import type { Architecture } from "../build/private-loader.ts";

/** Where everything of ours lies in the image; the chart names it as well. */
export const HOME = "opt/core-dump-handler";

/** Debian's name for an architecture's folder of libraries. */
export const TRIPLETS: Readonly<Record<Architecture, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/** Where the kernel looks for the loader of Debian's programs. */
export const LOADER_PATHS: Readonly<Record<Architecture, string>> = {
  x64: "lib64/ld-linux-x86-64.so.2",
  arm64: "lib/ld-linux-aarch64.so.1",
};

/** What Node and chroot are linked with. */
export const LIBRARIES = [
  "libc.so.6",
  "libm.so.6",
  "libdl.so.2",
  "libpthread.so.0",
  "libgcc_s.so.1",
  "libstdc++.so.6",
  "libatomic.so.1",
];

/** Debian's packages that these files come from. */
export const DEBIAN_PACKAGES = ["libc6", "libgcc-s1", "libstdc++6", "libatomic1", "coreutils", "ca-certificates"];
