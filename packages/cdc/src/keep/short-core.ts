import type { Problem } from "@cdh/core/bundle/manifest";
import type { CoreFacts } from "@cdh/core/elf/facts";

/** The file behind the rings that a program shares with the kernel, as the kernel names it in NT_FILE. */
const IO_URING = "anon_inode:[io_uring]";

/** Say why the kernel may have stopped before the end of a core that it wrote. */
export function explainShortCore({ isCore, complete, receivedBytes, mappings }: CoreFacts): Problem[] {
  if (!isCore || complete || receivedBytes === 0) return [];
  const detail = mappings.some(({ path }) => path === IO_URING)
    ? "the program has an io_uring: the kernel breaks its dump into a pipe off when requests complete meanwhile; into a plain file (MODE=file) it writes the core whole"
    : "the kernel stopped writing before the end: the process was killed meanwhile, or its container reached its memory limit";
  return [{ step: "drain", code: "CDH_KERNEL_STOPPED", detail }];
}
