import type { Work } from "../request.ts";
import { LARGE_PIPE_BYTES, mayEnlargePipe } from "./pipe-size.ts";

/** Let the kernel's pipe hold more, where the container has the memory for it. Waits for nothing. */
export function enlargePipe({ roots, crash, limit, native }: Pick<Work, "roots" | "crash" | "limit" | "native">): void {
  void mayEnlargePipe(roots, crash.pid, limit.signal).then((may) => {
    if (may) native.setPipeSize(0, LARGE_PIPE_BYTES);
  });
}
