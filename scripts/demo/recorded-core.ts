import fs from "node:fs";
import path from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { REPOSITORY } from "../../test/helpers/repository.ts";

const RECORDED = path.join(REPOSITORY, "test/fixtures/cores/segv-x64.core.zst");

/** Unpack the core that test/fixtures/cores holds, and say what the kernel said about it. */
export function recordedCore(directory: string): { file: string; words: string[] } {
  const file = path.join(directory, "segv.core");
  fs.writeFileSync(file, zstdDecompressSync(fs.readFileSync(RECORDED)), { mode: 0o600 });
  return { file, words: ["-s=11", "-e=segv", "-h=recorded", "-p=1", "-t=1795252009", "-E=!opt!demo!segv"] };
}
