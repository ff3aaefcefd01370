import { afterAll, afterEach, beforeEach } from "vitest";

/** The cases of the surrounding `describe`, shown in a table after the last one. */
export interface CaseTable {
  /** Say what the running test saw: its line in the table. */
  saw(text: string): void;
}

/** Make a table. @param heading of it, asked for at the end */
export function makeCaseTable(heading: () => string): CaseTable {
  const rows: { name: string; seconds: string; seen: string }[] = [];
  let started = 0;
  let seen = "";
  beforeEach(() => {
    started = performance.now();
    seen = "";
  });
  afterEach(({ task }) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    rows.push({ name: task.name, seconds, seen: task.result?.state === "fail" || seen === "" ? "FAILED" : seen });
  });
  afterAll(() => {
    const wide = Math.max(...rows.map(({ name }) => name.length));
    const lines = rows.map((row) => `  ${row.name.padEnd(wide)}  ${row.seconds.padStart(5)} s  ${row.seen}`);
    process.stdout.write(`\n${heading()}\n${lines.join("\n")}\n\n`);
  });
  return {
    saw: (text) => {
      seen = text;
    },
  };
}
