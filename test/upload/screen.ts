/**
 * Show what a terminal shows after a program's output: text, carriage returns, line ends, erased rests of lines, and lines
 * that are too long for it. Colours are left out.
 * @returns the lines, blanks at their ends left out
 */
export function screenAfter(output: string, columns: number): string[] {
  const lines: string[][] = [[]];
  let row = 0;
  let column = 0;
  const down = (): void => {
    row += 1;
    lines[row] ??= [];
  };
  // eslint-disable-next-line no-control-regex -- control characters are what a terminal acts on
  for (const [part] of output.matchAll(/\u001b\[[0-9;?]*[A-Za-z]|[^]/gu)) {
    if (part === "\r") column = 0;
    else if (part === "\n") down();
    else if (part === "\u001b[K") lines[row]?.splice(column);
    else if (part.startsWith("\u001b[")) {
      if (!part.endsWith("m")) throw new Error(`not known to this terminal: ${JSON.stringify(part)}`);
    } else {
      if (column >= columns) {
        column = 0;
        down();
      }
      const line = lines[row] ?? [];
      while (line.length < column) line.push(" ");
      line[column] = part;
      column += 1;
    }
  }
  return lines.map((line) => line.join("").trimEnd());
}
