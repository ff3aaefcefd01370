import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { onHost } from "@cdh/core/roots";
import { PLAIN_DIRECTORY } from "@cdh/core/spool/layout";
import { formatBytes } from "@cdh/core/units";
import type { Node } from "../node/target-node.ts";
import type { ProbeFinding } from "./proof.ts";

/** Find the plain core that the kernel wrote of a probe (MODE=file), look at it and remove it. */
export async function findPlainCore(node: Node, name: string): Promise<ProbeFinding | undefined> {
  const directory = join(onHost(node.roots, node.coreDir), PLAIN_DIRECTORY);
  const file = list(directory).find((candidate) => candidate.startsWith("core.") && candidate.includes(`.${name}.`));
  if (file === undefined) return undefined;
  const path = join(directory, file);
  const head = Buffer.alloc(4);
  // Everybody may write there: neither a link nor a fifo is a core.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const [length, sizeBytes] = [readSync(descriptor, head, 0, 4, 0), fstatSync(descriptor).size];
  closeSync(descriptor);
  if (length < 4) return undefined;
  rmSync(path, { force: true });
  if (head.toString("latin1") !== "\x7fELF")
    return { outcome: "failed", finding: `the kernel wrote ${file}, which is no core` };
  return { outcome: "ok", finding: `crashed a test program, the kernel wrote its core (${formatBytes(sizeBytes)})` };
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
