import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { packText, unpackText } from "./packed-text.ts";
import { RowMap } from "./row-map.ts";

const UUID = "1f3870be-274f-4c49-b3e3-0123456789ab";

it("gives back every text, in half of the bytes where a UUID or a checksum is in it", () => {
  const texts = [
    "",
    "a",
    "ü\0\u0001\ufffd",
    "\u{1f980}",
    UUID,
    `shop/${UUID}-dump`,
    "d41d8cd98f00b204e9800998ecf8427e",
  ];
  for (const text of [...texts, UUID.toUpperCase(), `${UUID}${UUID}`, "f".repeat(64), "0".repeat(31)]) {
    const packed = packText(text);
    expect(unpackText(packed, 0, packed.length)).toBe(text);
  }
  expect(packText(`shop/${UUID}`)).toHaveLength(5 + 17);
});

it("makes some text of any bytes", () => {
  const random = new SeededRandom(5);
  for (let step = 0; step < 2000; step += 1) {
    const bytes = Buffer.from(
      Array.from({ length: random.integer(40) }, () => [random.integer(256), 0xfe, 0xff][random.integer(3)] ?? 0),
    );
    expect(typeof unpackText(bytes, 0, bytes.length)).toBe("string");
  }
});

it("a map of rows finds what is in it and nothing else, also where hashes are the same", () => {
  const random = new SeededRandom(9);
  const map = new RowMap();
  const model = new Map<number, number>();
  for (let step = 0; step < 20_000; step += 1) {
    const row = random.integer(3000);
    const hash = row % 97;
    if (model.has(row)) {
      map.remove(hash, row);
      model.delete(row);
    } else {
      map.add(hash, row);
      model.set(row, hash);
    }
  }
  expect(map.size).toBe(model.size);
  for (let row = 0; row < 3000; row += 1)
    expect(map.find(row % 97, (id) => id === row)).toBe(model.has(row) ? row : -1);
});
