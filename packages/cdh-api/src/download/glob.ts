/**
 * Match a name against a pattern of SQLite's GLOB: `*`, `?`, `[a-z]`, `[^a-z]`. It takes at most the product of both lengths, whatever the
 * pattern.
 * @see https://www.sqlite.org/lang_expr.html#glob
 */
export function matchesGlob(name: string, pattern: string): boolean {
  let [at, in_] = [0, 0];
  let back: { name: number; pattern: number } | undefined;
  while (at < name.length) {
    const step = matchOne(name[at] ?? "", pattern, in_);
    if (pattern[in_] === "*") back = { name: at, pattern: (in_ += 1) };
    else if (step > 0) {
      at += 1;
      in_ += step;
    } else if (back === undefined) return false;
    else {
      back.name += 1;
      at = back.name;
      in_ = back.pattern;
    }
  }
  while (pattern[in_] === "*") in_ += 1;
  return in_ === pattern.length;
}

/** @returns how much of the pattern the character matches; 0 when it does not */
function matchOne(char: string, pattern: string, at: number): number {
  const wanted = pattern[at];
  if (wanted === undefined || wanted === "*") return 0;
  if (wanted === "?") return 1;
  if (wanted !== "[") return wanted === char ? 1 : 0;
  const isInverted = pattern[at + 1] === "^";
  const from = at + (isInverted ? 2 : 1);
  const end = pattern.indexOf("]", from + 1);
  if (end === -1) return 0;
  let isIn = false;
  for (let index = from; index < end; index += 1) {
    const first = pattern[index] ?? "";
    const isRange = pattern[index + 1] === "-" && index + 2 < end;
    const last = isRange ? (pattern[index + 2] ?? "") : first;
    isIn ||= char >= first && char <= last;
    if (isRange) index += 2;
  }
  return isIn === isInverted ? 0 : end - at + 1;
}
