import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, type AddressInfo } from "node:net";

/** A forward proxy on loopback, as HTTPS_PROXY and HTTP_PROXY name one. */
export interface ForwardProxy extends AsyncDisposable {
  readonly url: string;
  /** What it was asked for: `host:port` of a tunnel, the whole URL of a plain request. */
  readonly asked: string[];
}

/**
 * Start a forward proxy that passes everything on and notes what it was asked for.
 * @param standIns ports on loopback that tunnels to a `host:port` lead to in place of it
 */
export async function startForwardProxy(standIns: Readonly<Record<string, number>> = {}): Promise<ForwardProxy> {
  const asked: string[] = [];
  const server = createServer((incoming, outgoing) => {
    asked.push(incoming.url ?? "");
    const { method, headers } = incoming;
    const onward = request(incoming.url ?? "", { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => incoming.socket.destroy());
    incoming.pipe(onward);
  });
  // The server no longer counts a tunnel among its connections, and waits for it all the same.
  const tunnels = new Set<{ destroy(): void }>();
  server.on("connect", (incoming, socket) => {
    tunnels.add(socket);
    socket.once("close", () => tunnels.delete(socket));
    asked.push(incoming.url ?? "");
    const [host = "", port = "443"] = (incoming.url ?? "").split(":");
    const standIn = standIns[incoming.url ?? ""];
    const [onwardPort, onwardHost] = standIn === undefined ? [Number(port), host] : [standIn, "127.0.0.1"];
    const onward = connect(onwardPort, onwardHost, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.pipe(socket);
      socket.pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      for (const tunnel of tunnels) tunnel.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
