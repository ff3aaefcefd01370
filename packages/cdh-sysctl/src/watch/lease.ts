import { randomUUID } from "node:crypto";
import { rmSync, utimesSync } from "node:fs";
import { writeAtomicallySync } from "@cdh/core/files/write-atomically";
import { LEASE_EXPIRED_NAME, LEASE_NAME, LEASE_RENEWAL_MS } from "@cdh/core/kernel/watch-lease";
import { lstatIfThere, readTextIfThere } from "../node/files.ts";
import { inHostDir, type Node } from "../node/target-node.ts";

/**
 * The promise of one watch to look after the handler in HOST_DIR. A composer that finds it expired gives the kernel the
 * node's own values back; another watch that finds a holder other than itself knows that it has a successor.
 */
export class Lease {
  readonly #node: Node;
  readonly #holder = randomUUID();
  #nextAt = 0;

  constructor(node: Node) {
    this.#node = node;
  }

  /** Take it, from whoever holds it. Does nothing while there is no HOST_DIR. */
  take(): void {
    if (lstatIfThere(inHostDir(this.#node)) === undefined) return;
    writeAtomicallySync(this.#path, `${this.#holder}\n`, { mode: 0o600 });
    rmSync(inHostDir(this.#node, LEASE_EXPIRED_NAME), { force: true });
  }

  /** Renew it when it is time, unless another holds it by now. Needs no room on the disk. */
  keep(): void {
    const nowMs = this.#node.clock.monotonic();
    if (nowMs < this.#nextAt || this.hasSuccessor) return;
    this.#nextAt = nowMs + LEASE_RENEWAL_MS;
    if (lstatIfThere(this.#path) === undefined) this.take();
    else {
      const now = this.#node.clock.now() / 1000;
      utimesSync(this.#path, now, now);
      rmSync(inHostDir(this.#node, LEASE_EXPIRED_NAME), { force: true });
    }
  }

  /** Whether another watch holds it. */
  get hasSuccessor(): boolean {
    const holder = readTextIfThere(this.#path)?.trim();
    return holder !== undefined && holder !== "" && holder !== this.#holder;
  }

  get #path(): string {
    return inHostDir(this.#node, LEASE_NAME);
  }
}

/** End every lease on a node: what is installed by hand, or taken away, is nobody's to renew. */
export function endLease(node: Node): void {
  for (const name of [LEASE_NAME, LEASE_EXPIRED_NAME]) rmSync(inHostDir(node, name), { force: true });
}
