/** What stands for characters that linkers do not like. */
const ESCAPES: Readonly<Record<string, string>> = {
  SP: "@",
  BP: "*",
  RF: "&",
  LT: "<",
  GT: ">",
  LP: "(",
  RP: ")",
  C: ",",
};

/**
 * Read a name of Rust's old scheme, which looks like one of C++ but ends in a hash. The hash is left out.
 * @returns undefined when it is none
 */
export function demangleRustLegacy(name: string): string | undefined {
  if (!/^_ZN[\w$.]*17h[0-9a-f]{16}E$/.test(name)) return undefined;
  const parts: string[] = [];
  let at = "_ZN".length;
  while (name[at] !== "E") {
    const length = /^\d{1,4}/.exec(name.slice(at, at + 4))?.[0];
    if (length === undefined) return undefined;
    at += length.length;
    const part = name.slice(at, at + Number(length));
    at += Number(length);
    if (part.length !== Number(length) || part === "" || at >= name.length) return undefined;
    parts.push(part);
  }
  if (at !== name.length - 1 || parts.length < 2) return undefined;
  return parts.slice(0, -1).map(unescapePart).join("::");
}

function unescapePart(part: string): string {
  return part.replace(/^_(?=\$)/, "").replaceAll(/\$([A-Za-z0-9]+)\$|\.\./g, (whole, word: string | undefined) => {
    if (word === undefined) return "::";
    const code = /^u([0-9a-f]{1,6})$/.exec(word)?.[1];
    return ESCAPES[word] ?? (code === undefined ? whole : (tryCharacter(code) ?? whole));
  });
}

function tryCharacter(hexadecimal: string): string | undefined {
  const code = Number.parseInt(hexadecimal, 16);
  return code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? undefined : String.fromCodePoint(code);
}
