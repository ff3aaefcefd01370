const ROW_BYTES = 16;

/** Write bytes as `address  16 bytes in hexadecimal  |text|`, one row a line. */
export function hexdump(bytes: Uint8Array, address: bigint): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = [...bytes.subarray(at, at + ROW_BYTES)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${(address + BigInt(at)).toString(16).padStart(12, "0")}  ${left}  ${right}  |${text}|\n`);
  }
  return lines.join("");
}
