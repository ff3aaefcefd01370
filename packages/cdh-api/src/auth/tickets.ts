import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Clock } from "@cdh/core/clock";
import { parseJson } from "@cdh/core/json";
import type { Subresource } from "../group.ts";

/** What a ticket is good for. */
export interface Ticket {
  namespace: string;
  name: string;
  subresource: Subresource;
  /** Who asked for it; for the audit. */
  user: string;
  /** Epoch milliseconds. */
  expiresAt: number;
}

/**
 * Make and check download links of our own, for stores that cannot presign. They are signed with a key that is made from
 * the server's TLS key: every replica has the same one, and nothing has to be remembered.
 */
export class Tickets {
  readonly #clock: Clock;
  #key: Buffer;

  constructor(clock: Clock, tlsKeyPem: string) {
    this.#clock = clock;
    this.#key = deriveKey(tlsKeyPem);
  }

  /** Take another TLS key; tickets of the old one end. */
  rekey(tlsKeyPem: string): void {
    this.#key = deriveKey(tlsKeyPem);
  }

  make(ticket: Ticket): string {
    const body = Buffer.from(JSON.stringify(ticket)).toString("base64url");
    return `${body}.${this.#sign(body).toString("base64url")}`;
  }

  /** @returns what it is good for; undefined when it is forged, cut or too old */
  tryRead(text: string): Ticket | undefined {
    const [body = "", signature = ""] = text.split(".", 2);
    const given = Buffer.from(signature, "base64url");
    const right = this.#sign(body);
    if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
    const ticket = parseJson(Buffer.from(body, "base64url")) as Ticket;
    return ticket.expiresAt > this.#clock.now() ? ticket : undefined;
  }

  #sign(body: string): Buffer {
    return createHmac("sha256", this.#key).update(body).digest();
  }
}

function deriveKey(tlsKeyPem: string): Buffer {
  return Buffer.from(hkdfSync("sha256", tlsKeyPem, "core-dump-handler.dev", "download tickets", 32));
}
