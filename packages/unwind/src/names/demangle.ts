import { NotAName } from "./bounded-text.ts";
import { demangleItanium } from "./itanium.ts";
import { demangleRustLegacy } from "./rust-legacy.ts";
import { demangleRustV0 } from "./rust-v0.ts";

/** Compilers hash longer names. */
const NAME_MAX = 8 * 1024;

/**
 * Write a linker's name as a person would: C++ of GCC and Clang, Rust of both schemes. The same text as `c++filt`. Safe
 * against any input: time, depth and length are bounded.
 * @returns undefined for a name that is readable as it is, or cannot be read
 * @see https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling
 * @see https://doc.rust-lang.org/rustc/symbol-mangling/index.html
 */
export function demangle(symbol: string): string | undefined {
  if (symbol.length > NAME_MAX || !/^_[ZR][\x21-\x7e]+$/.test(symbol)) return undefined;
  const dot = symbol.indexOf(".", symbol.startsWith("_ZN") ? legacyEnd(symbol) : 0);
  const name = dot === -1 ? symbol : symbol.slice(0, dot);
  const suffix = dot === -1 ? "" : symbol.slice(dot);
  try {
    const legacy = demangleRustLegacy(name);
    const found = legacy ?? (name.startsWith("_R") ? demangleRustV0(name) : demangleItanium(name));
    const clones = cloneSuffix(
      legacy === undefined && !name.startsWith("_R") ? suffix : suffix.replace(/\.llvm\.[0-9A-Z@]+$/i, ""),
    );
    return clones === undefined ? undefined : `${found}${clones}`;
  } catch (error) {
    if (error instanceof NotAName) return undefined;
    throw error;
  }
}

/** Rust's old scheme has dots inside names: the suffix starts behind the hash. */
function legacyEnd(symbol: string): number {
  const end = /17h[0-9a-f]{16}E/.exec(symbol);
  return end === null ? 0 : end.index + end[0].length;
}

/** What the compiler made of a function beside it: `.constprop.0` becomes ` [clone .constprop.0]`. */
function cloneSuffix(suffix: string): string | undefined {
  if (suffix === "") return "";
  const clones = suffix.match(/\.(?:[A-Za-z_][\w$]*|\d+)(?:\.\d+)*/g) ?? [];
  if (clones.join("") !== suffix) return undefined;
  return clones.map((clone) => ` [clone ${clone}]`).join("");
}
