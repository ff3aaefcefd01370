import { join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { onHost, type Roots } from "@cdh/core/roots";

/** How crashes are kept: handed to the composer, or written as plain files by the kernel. */
export type Mode = "pipe" | "file";

/** The node's directories, as paths on the node. */
export interface Layout {
  hostDir: string;
  coreDir: string;
  eventDir: string;
}

/** What every operation works on: one node, seen through its roots. */
export interface Node extends Layout {
  roots: Roots;
  clock: Clock;
}

/** Names in HOST_DIR. @see docs/on-disk.md */
export const NAMES = {
  composer: "cdc",
  libraries: "lib",
  env: ".env",
  crictl: "crictl",
  crictlConfig: "crictl.yaml",
  state: ".cdh-sysctl.json",
  lock: ".cdh-sysctl.lock",
  log: "composer.log",
  oldLog: "composer.log.1",
} as const;

/** Path of a name in HOST_DIR that this process can open. */
export function inHostDir(node: Node, ...names: string[]): string {
  return join(onHost(node.roots, node.hostDir), ...names);
}

/** Path of a name in HOST_DIR as the node itself sees it. */
export function onNode(node: Node, ...names: string[]): string {
  return join(node.hostDir, ...names);
}
