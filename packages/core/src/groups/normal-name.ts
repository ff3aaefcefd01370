/** What compilers and linkers add to a name: `.isra.0`, `.constprop.1`, `.cold`, `.llvm.123`, `@plt`, `@@GLIBC_2.2.5`. */
const SUFFIX =
  /(?:\.(?:isra|part|constprop|cold|llvm|lto_priv|localalias|local|clone|abi0|abiinternal|specialized|resume|destroy|cleanup|__uniq|warm|hot|unlikely|outlined|thunk)(?:\.\d+)*|\.\d+|@plt|@@?[A-Z]\w*_[\w.]+| \[clone [^\]]*\]|\$[\da-f]{32}|::h[\da-f]{16}|@[\da-f]{8,})$/;
/** Characters that are read of a name: writers keep 400, and what others wrote may have any number. */
const READ_MAX = 1000;
/** Suffixes of one name: compilers add a few. */
const SUFFIXES_MAX = 8;

/** Write a function's name without what it is called with, and without the arguments of templates. Bounded. */
export function bareName(name: string): string {
  return withoutTemplates(withoutParameters(name.slice(0, READ_MAX)));
}

/**
 * Write a function's name so that it is the same in every build of a program: without parameters, return type, template
 * arguments, numbers of lambdas and closures, hashes, and what compilers add. Bounded; not printable yet.
 */
export function normalName(name: string): string {
  const trimmed = withoutSuffixes(name.slice(0, READ_MAX).trim());
  const counted = trimmed
    .replace(/\[abi:\w+\]/g, "")
    .replace(/\{lambda\([^{}]*?\)#\d+\}|<lambda\([^<>]*?\)>|\{lambda[^{}]*\}|\$_\d+/g, "{lambda}")
    .replace(/\{unnamed type#\d+\}|\{unnamed\w*#\d+\}/g, "{unnamed}")
    .replace(/\{\{closure\}\}|\{closure(?:_env)?#\d+\}/g, "{closure}")
    .replace(/\{impl#\d+\}/g, "{impl}")
    // What a function around it is called with; Go's `(*T).method` stays.
    .replace(/\((?!\*|anonymous)[^()]*\)(?: const)?(?=::)/g, "");
  // Go's generics, and Rust's crates by their hash.
  const plain = withoutReturnType(
    withoutSuffixes(bareName(counted.replace(/\[(?:\.\.\.|[\da-f]{8,}|go\.shape[^[\]]*)\]/g, ""))),
  );
  return (
    plain
      .replace(/\b(std)::(?:__1|__cxx11|__ndk1|__\d+)::/g, "$1::")
      // A lambda, or a closure, belongs to the function that it stands in.
      .replace(/(?:::\{(?:lambda|closure)\})+(?:::(?:operator\(\)|_FUN|__invoke))?$/, "")
      .replace(/^(.+?)\.(?:func|gowrap|deferwrap)\d+(?:[.-].*)?$/, (_whole, owner: string) => ownerOfClosure(owner))
      .replace(/^(?:__GI_)+/, "")
      .trim()
  );
}

function withoutSuffixes(name: string): string {
  let written = name;
  for (let count = 0; count < SUFFIXES_MAX; count += 1) {
    const shorter = written.replace(SUFFIX, "");
    if (shorter === written || shorter === "") break;
    written = shorter;
  }
  return written;
}

/** Demanglers write what a template's instance returns: `void pay<int>(int)`. */
function withoutReturnType(name: string): string {
  if (name.startsWith("<")) return name;
  const operator = name.search(/\boperator\b/);
  const end = operator === -1 ? name.length : operator;
  let depth = 0;
  for (let at = end - 1; at >= 0; at -= 1) {
    const sign = name[at];
    if (sign === ")" || sign === "}" || sign === ">") depth += 1;
    else if (sign === "(" || sign === "{" || sign === "<") depth -= 1;
    else if (sign === " " && depth === 0) return name.slice(at + 1);
  }
  return name;
}

/** Leave out the last parentheses and what stands behind them; Go's `(*T).method` has none. */
function withoutParameters(name: string): string {
  const plain = name.replace(/(?: \[clone [^\]]*\])+$/, "").replace(/\)(?: const| volatile| &| &&| noexcept)+$/, ")");
  if (!plain.endsWith(")")) return plain;
  let depth = 0;
  for (let at = plain.length - 1; at > 0; at -= 1) {
    const sign = plain[at];
    if (sign === ")") depth += 1;
    else if (sign === "(") depth -= 1;
    if (depth === 0)
      return plain.endsWith("operator()") || plain.endsWith("(anonymous namespace)") ? plain : plain.slice(0, at);
  }
  return plain;
}

/** Leave out `<…>` behind a name; what begins with it is Rust's `<T as Trait>`. */
function withoutTemplates(name: string): string {
  let depth = 0;
  let written = "";
  for (let at = 0; at < name.length; at += 1) {
    const sign = name[at] ?? "";
    const before = name[at - 1] ?? "";
    if (sign === "<" && (depth > 0 || opensTemplate(name, at))) depth += 1;
    else if (sign === ">" && depth > 0 && before !== "-") depth -= 1;
    else if (depth === 0) written += sign;
  }
  // Names that do not balance are shown as they are.
  return depth === 0 ? written.replaceAll("::::", "::").replace(/(?:::|\s)+$/, "") : name;
}

/** Go names a closure of an inlined function after both: `main.run.discount.func1` is of `main.discount`. */
function ownerOfClosure(name: string): string {
  const slash = name.lastIndexOf("/") + 1;
  const dot = name.indexOf(".", slash);
  if (dot === -1) return name;
  const last = /(?:\(\*[^()]*\)\.)?[^.]+$/.exec(name.slice(dot + 1))?.[0] ?? "";
  return `${name.slice(0, dot)}.${last}`;
}

function opensTemplate(name: string, at: number): boolean {
  const before = name.slice(Math.max(0, at - 12), at);
  return /operator[^\w\s<>]{1,3}$/.test(before) || (/[\w:]$/.test(before) && !/operator<?$/.test(before));
}
