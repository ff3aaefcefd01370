import { expect, it } from "vitest";
import type { Clock } from "@cdh/core/clock";
import { Tickets } from "./tickets.ts";

let now = 1000;
const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
const ticket = { namespace: "shop", name: "a", subresource: "bundle", user: "dev", expiresAt: 5000 } as const;

it("a ticket is good until it ends, at every replica with the same key", () => {
  const text = new Tickets(clock, "the key").make(ticket);
  const other = new Tickets(clock, "the key");
  now = 4999;
  expect(other.tryRead(text)).toEqual(ticket);
  now = 5000;
  expect(other.tryRead(text)).toBeUndefined();
  now = 1000;
  other.rekey("another key");
  expect(other.tryRead(text)).toBeUndefined();
});

it("a ticket that was changed anywhere is none", () => {
  const tickets = new Tickets(clock, "the key");
  const text = tickets.make(ticket);
  for (let at = 0; at < text.length; at += 1) {
    const other = text[at] === "A" ? "B" : "A";
    const changed = text.slice(0, at) + other + text.slice(at + 1);
    const read = tickets.tryRead(changed);
    // The last character of base64 has bits that mean nothing.
    if (read !== undefined) expect(at).toBe(text.length - 1);
  }
  for (const none of ["", ".", "a.b", text.split(".")[0] ?? "", `${text}.x`.slice(1)]) {
    expect(tickets.tryRead(none)).toBeUndefined();
  }
});
