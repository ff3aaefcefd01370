import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "@cdh/core/clock";
import { ConnectionPool } from "@cdh/core/connection-pool";
import { Gate } from "./gate.ts";

/** Connections whose client is not known yet: in the handshake, reading the page, asking for health. */
const STRANGERS_MAX = 512;
/** So long such a connection lives, whatever it does, milliseconds. A client has sent its token long before. */
const STRANGER_MS = 20_000;
/** Connections of callers who came with a token or a link. */
const DIRECT_MAX = 1536;
/** All, those of the cluster's own API server included: 2048 are left for it. */
export const CONNECTIONS_MAX = 4096;
const LOOK_MS = 1000;

interface Known {
  tls: TLSSocket;
  /** Bytes that the client had taken at the last look at which that was more than before. */
  takenBytes: number;
  /** When that was, monotonic milliseconds. */
  movedAt: number;
}

/** Connections that are open, by whose they are. */
export interface ConnectionCounts {
  strangers: number;
  direct: number;
  frontProxy: number;
}

/** Why a connection was cut off: it made room for others, its time as a stranger's was over, or it took nothing. */
export const CLOSED_REASONS = ["evicted", "expired", "stalled"] as const;

/** What connections are judged by. */
export interface ConnectionsOptions {
  clock: Clock;
  /** Whether a connection shows the certificate of the cluster's API server. */
  isFrontProxy: (socket: TLSSocket) => boolean;
  /** A client that takes nothing of what waits for it is cut off after this. */
  stallTimeoutMs: number;
  onClosed: (reason: (typeof CLOSED_REASONS)[number]) => void;
}

/**
 * Keep the connections of strangers few and short, those of each caller to a share, and room for the cluster's own API
 * server, which speaks for everybody who uses kubectl.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #strangers: ConnectionPool;
  readonly #openedAt = new Map<Socket, number>();
  readonly #known = new Map<Socket, Known>();
  readonly #directGate = new Gate(DIRECT_MAX, "connections");
  /** The connection below TLS, by the address of its other end: only that is to be had of both. */
  readonly #raw = new Map<string, Socket>();
  #frontProxies = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#strangers = new ConnectionPool({ max: STRANGERS_MAX, onEvicted: () => options.onClosed("evicted") });
  }

  get counts(): ConnectionCounts {
    return {
      strangers: this.#strangers.size,
      direct: this.#directGate.inside,
      frontProxy: this.#frontProxies,
    };
  }

  /** Take in a connection, before its handshake. */
  accept(socket: Socket): void {
    const end = endOf(socket);
    if (end === undefined) return void socket.destroy();
    this.#raw.set(end, socket);
    this.#openedAt.set(socket, this.#options.clock.monotonic());
    socket.once("close", () => {
      if (this.#raw.get(end) === socket) this.#raw.delete(end);
      this.#openedAt.delete(socket);
    });
    this.#strangers.add(socket);
  }

  /** Look at a connection whose handshake is done: the cluster's API server is known by its certificate. */
  secured(socket: TLSSocket): void {
    if (this.#options.isFrontProxy(socket)) this.know(socket, undefined);
  }

  /**
   * Note who uses a connection; from then on it may stay.
   * @param share see `shareOf`; undefined: the cluster's API server
   * @throws {ApiError} 429 when this share has its part of all connections
   */
  know(socket: TLSSocket, share: string | undefined): void {
    const end = endOf(socket);
    const raw = end === undefined ? undefined : this.#raw.get(end);
    if (raw === undefined || this.#known.has(raw)) return;
    const leave = share === undefined ? () => (this.#frontProxies -= 1) : this.#directGate.enter(share);
    if (share === undefined) this.#frontProxies += 1;
    this.#strangers.remove(raw);
    this.#known.set(raw, { tls: socket, takenBytes: 0, movedAt: this.#options.clock.monotonic() });
    raw.once("close", () => {
      this.#known.delete(raw);
      leave();
    });
  }

  /** End what has lived or stood still for too long, again and again until told to stop. */
  async run(stopSignal: AbortSignal): Promise<void> {
    while (!stopSignal.aborted) {
      await this.#options.clock.sleep(LOOK_MS, stopSignal).catch(() => {});
      this.#look();
    }
  }

  #look(): void {
    const { clock, stallTimeoutMs, onClosed } = this.#options;
    const now = clock.monotonic();
    for (const [socket, openedAt] of this.#openedAt) {
      // In the order in which they came.
      if (now - openedAt <= STRANGER_MS) break;
      this.#openedAt.delete(socket);
      if (this.#known.has(socket)) continue;
      onClosed("expired");
      socket.destroy();
    }
    for (const [socket, known] of this.#known) {
      const takenBytes = known.tls.bytesWritten - known.tls.writableLength;
      if (known.tls.writableLength === 0 || takenBytes !== known.takenBytes) {
        known.takenBytes = takenBytes;
        known.movedAt = now;
      } else if (now - known.movedAt > stallTimeoutMs) {
        onClosed("stalled");
        socket.destroy();
      }
    }
  }
}

/** Name the other end of a connection; undefined when it is closed. */
function endOf(socket: Socket): string | undefined {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined ? undefined : `${remoteAddress} ${remotePort ?? ""}`;
}
