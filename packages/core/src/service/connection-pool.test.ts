import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { addressOf, ConnectionPool } from "./connection-pool.ts";

/** As much of a connection as the pool looks at. */
class Client extends EventEmitter {
  isOpen = true;
  readonly remoteAddress: string;
  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }
  destroy(): void {
    this.isOpen = false;
    this.emit("close");
  }
  get socket(): Socket {
    return this as unknown as Socket;
  }
}

it("a client that floods pushes out its own, the oldest first", () => {
  let evicted = 0;
  const pool = new ConnectionPool({ max: 4, onEvicted: () => (evicted += 1) });
  const quiet = new Client("10.0.0.1");
  const flood = Array.from({ length: 20 }, () => new Client("10.0.0.2"));
  pool.add(quiet.socket);
  for (const { socket } of flood) pool.add(socket);
  expect(quiet.isOpen).toBe(true);
  expect(flood.map(({ isOpen }) => isOpen)).toEqual(flood.map((_, index) => index >= 17));
  expect([pool.size, evicted]).toEqual([4, 17]);
});

it("a connection that is closed or let out counts no more, and is not pushed out", () => {
  const pool = new ConnectionPool({ max: 2 });
  const [known, gone, one, other] = Array.from({ length: 4 }, () => new Client("10.0.0.1"));
  for (const client of [known, gone]) pool.add(client?.socket as Socket);
  pool.remove(known?.socket as Socket);
  gone?.destroy();
  expect(pool.size).toBe(0);
  for (const client of [one, other]) pool.add(client?.socket as Socket);
  expect([known?.isOpen, one?.isOpen, other?.isOpen]).toEqual([true, true, true]);
});

it("where every client has one, the oldest goes", () => {
  const pool = new ConnectionPool({ max: 3 });
  const clients = Array.from({ length: 5 }, (_, index) => new Client(`10.0.0.${index}`));
  for (const { socket } of clients) pool.add(socket);
  expect(clients.map(({ isOpen }) => isOpen)).toEqual([false, false, true, true, true]);
});

it.each([
  ["10.1.2.3", "10.1.2.3"],
  ["::ffff:10.1.2.3", "10.1.2.3"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:db8:1::2:3:4", "2001:db8:1:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
])("%s counts as %s", (remoteAddress, expected) => {
  expect(addressOf(new Client(remoteAddress).socket)).toBe(expected);
});
