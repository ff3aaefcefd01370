import { connect, createServer, type Server, type Socket } from "node:net";

/** A relay to the S3 server that can stop in the middle of an upload. */
export interface S3Gate {
  server: Server;
  /** Let so many more bytes through, then none until `open`. */
  closeAfter(bytes: number): void;
  /** Whether bytes wait. */
  readonly stuck: boolean;
  open(): void;
}

/** Make a relay to a server on this machine's loopback. */
export function makeS3Gate(port: number): S3Gate {
  let left = Number.POSITIVE_INFINITY;
  const waiting = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
      to.on("drain", () => {
        if (!waiting.has(from)) from.resume();
      });
      from.on("end", () => to.end());
    }
    client.on("close", () => waiting.delete(client));
    upstream.on("data", (data: Buffer) => {
      if (!client.write(data)) upstream.pause();
    });
    client.on("data", (data: Buffer) => {
      left -= data.length;
      if (!upstream.write(data)) client.pause();
      if (left > 0) return;
      waiting.add(client);
      client.pause();
    });
  });
  return {
    server,
    closeAfter: (bytes) => {
      left = bytes;
    },
    get stuck() {
      return waiting.size > 0;
    },
    open: () => {
      left = Number.POSITIVE_INFINITY;
      for (const client of waiting) client.resume();
      waiting.clear();
    },
  };
}
