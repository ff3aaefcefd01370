/** The keys of dump info, in the order in which IBM's handler prints them. */
const KEYS = ["uuid", "dump_file", "timestamp", "hostname", "exe", "real_pid", "signal", "node_hostname", "path"];

/**
 * Take the texts out of dump info that is not valid JSON, because a name with quotes or backslashes was printed into it
 * as it was. Each value is what stands between its key and the next key.
 */
export function repairJsonTexts(text: string): Record<string, string> {
  const found: { key: string; start: number; end: number }[] = [];
  for (const key of KEYS) {
    const match = new RegExp(`"${key}"\\s*:\\s*"`).exec(text);
    if (match !== null) found.push({ key, start: match.index, end: match.index + match[0].length });
  }
  found.sort((left, right) => left.start - right.start);
  const values: Record<string, string> = {};
  for (const [index, { key, end }] of found.entries()) {
    const rest = text.slice(end, found[index + 1]?.start ?? text.length);
    const close = rest.lastIndexOf('"');
    values[key] = close === -1 ? rest.trim() : rest.slice(0, close);
  }
  return values;
}
