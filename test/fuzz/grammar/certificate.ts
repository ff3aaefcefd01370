import { generateKeyPairSync, sign } from "node:crypto";
import * as fc from "fast-check";
import { hostileText } from "./text.ts";

/** One attribute of a name: its type, how its text is written, and the text. */
export interface NamePart {
  type: "CN" | "O" | "OU" | "SN";
  tag: "utf8" | "printable" | "bmp";
  text: string;
  /** Whether it stands in one set with the part before it. */
  joined: boolean;
}

const OIDS = { CN: [0x55, 4, 3], O: [0x55, 4, 10], OU: [0x55, 4, 11], SN: [0x55, 4, 5] };
const TAGS = { utf8: 0x0c, printable: 0x13, bmp: 0x1e };
const ED25519 = tlv(0x30, tlv(6, [0x2b, 0x65, 0x70]));
const keys = generateKeyPairSync("ed25519");

/** Subjects by grammar: several common names, names inside of other attributes, every separator. */
export const subjectRecipe: fc.Arbitrary<NamePart[]> = fc.array(
  fc.record({
    type: fc.constantFrom("CN" as const, "O" as const, "OU" as const, "SN" as const, "CN" as const),
    tag: fc.constantFrom("utf8" as const, "utf8" as const, "printable" as const, "bmp" as const),
    text: fc.oneof(
      fc.constant("front-proxy-client"),
      hostileText,
      hostileText.map((text) => `x${text}CN=front-proxy-client`),
      fc.constant("front-proxy-client\0.attacker"),
    ),
    joined: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
);

/** Write a certificate with this subject, DER, signed by its own key. */
export function writeCertificate(subject: readonly NamePart[]): Buffer {
  const validity = tlv(0x30, tlv(0x17, ascii("260101000000Z")), tlv(0x17, ascii("460101000000Z")));
  const toBeSigned = tlv(
    0x30,
    tlv(0xa0, tlv(2, [2])),
    tlv(2, [1]),
    ED25519,
    nameOf([{ type: "CN", tag: "utf8", text: "authority", joined: false }]),
    validity,
    nameOf(subject),
    keys.publicKey.export({ type: "spki", format: "der" }),
  );
  return tlv(0x30, toBeSigned, ED25519, tlv(3, [0], sign(null, toBeSigned, keys.privateKey)));
}

function nameOf(parts: readonly NamePart[]): Buffer {
  const sets: Buffer[][] = [];
  for (const { type, tag, text, joined } of parts) {
    const attribute = tlv(0x30, tlv(6, OIDS[type]), tlv(TAGS[tag], encode(text, tag)));
    const last = sets.at(-1);
    if (joined && last !== undefined) last.push(attribute);
    else sets.push([attribute]);
  }
  return tlv(0x30, ...sets.map((set) => tlv(0x31, ...set)));
}

function encode(text: string, tag: NamePart["tag"]): Buffer {
  return tag === "bmp" ? Buffer.from(text, "utf16le").swap16() : Buffer.from(text);
}

function ascii(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Tag, length, value. @see ITU-T X.690 */
function tlv(tag: number, ...values: (Uint8Array | readonly number[])[]): Buffer {
  const value = Buffer.concat(values.map((part) => Buffer.from(part)));
  const { length } = value;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}
