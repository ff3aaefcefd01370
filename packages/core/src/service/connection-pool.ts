import type { Socket } from "node:net";

/** How many connections are kept, and what happens to those that are too many. */
export interface ConnectionPoolOptions {
  /** More connections than this push others out. */
  max: number;
  /** Called for each connection that is pushed out. */
  onEvicted?: () => void;
}

/**
 * Hold the connections of clients that are not known, so that no client can take the room of the others. When it is full,
 * a new connection pushes out the oldest one of the address that has most of them: a client that floods pushes out its own.
 * Where all clients share one address (NAT), the oldest of all goes.
 */
export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  /** By address, each in the order in which they came. */
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #addresses = new Map<Socket, string>();

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#addresses.size;
  }

  /** Take a connection in until it is closed or {@link remove}d. */
  add(socket: Socket): void {
    if (this.size >= this.#options.max) this.#evict();
    const address = addressOf(socket);
    this.#addresses.set(socket, address);
    const there = this.#byAddress.get(address);
    if (there === undefined) this.#byAddress.set(address, new Set([socket]));
    else there.add(socket);
    socket.once("close", () => this.remove(socket));
  }

  /** Let a connection out: its client is known, or it is closed. */
  remove(socket: Socket): void {
    const address = this.#addresses.get(socket);
    if (address === undefined) return;
    this.#addresses.delete(socket);
    const there = this.#byAddress.get(address);
    there?.delete(socket);
    if (there?.size === 0) this.#byAddress.delete(address);
  }

  #evict(): void {
    let largest: Set<Socket> | undefined;
    for (const sockets of this.#byAddress.values()) if (sockets.size > (largest?.size ?? 0)) largest = sockets;
    const [oldest] = largest ?? [];
    if (oldest === undefined) return;
    this.remove(oldest);
    oldest.destroy();
    this.#options.onEvicted?.();
  }
}

/**
 * Name where a connection comes from, as far as its client does not choose it: an IPv4 address, or the /64 network of an
 * IPv6 address, all of whose addresses one machine can have. Text; empty when the connection is closed already.
 */
export function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  if (!address.includes(":")) return address;
  const [, mapped] = /^::ffff:([\d.]+)$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const groups = head === "" ? [] : head.split(":");
  const behind = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - behind.length);
  const all = [...groups, ...Array.from({ length: zeros }, () => "0"), ...behind];
  return `${all.slice(0, 4).join(":")}::/64`;
}
