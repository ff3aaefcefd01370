import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { readBody } from "./read-body.ts";

/** A body whose connection is still open. */
const openBody = (): Readable => new Readable({ read() {} });

it("ends the request of a body that nobody reads", async () => {
  const stop = new AbortController();
  const unread = readBody(openBody(), { what: "x", timeoutMs: 20, stop, signal: undefined });
  await expect.poll(() => stop.signal.aborted, { timeout: 2000 }).toBe(true);
  expect(stop.signal.reason).toMatchObject({ code: "CDH_STORE_UNREACHABLE" });
  // Until here somebody has it: one that is forgotten is closed sooner.
  expect(unread).toBeDefined();
});

it("closes the connection of a body that is given back before its first chunk", async () => {
  const body = openBody();
  const pieces = readBody(body, { what: "x", timeoutMs: 60_000, stop: new AbortController(), signal: undefined });
  await pieces[Symbol.asyncIterator]().return?.();
  expect(body.destroyed).toBe(true);
});

it("takes no more than was asked for, and leaves a connection that is read to its end", async () => {
  const chunks = [];
  const options = { what: "x", timeoutMs: 60_000, stop: new AbortController(), signal: undefined, maxBytes: 3 };
  for await (const chunk of readBody(Readable.from([Buffer.from("ab"), Buffer.from("cd")]), options))
    chunks.push(chunk);
  expect(Buffer.concat(chunks).toString()).toBe("abc");
});
