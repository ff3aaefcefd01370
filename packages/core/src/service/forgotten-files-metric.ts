import type { ForgottenFiles } from "../base/forgotten-files.ts";
import type { Metrics } from "./metrics.ts";

/** Show how many files the program forgot to close: `cdh_forgotten_files_total`, 0 in a program that does not. */
export function showForgottenFiles(metrics: Metrics, forgotten: ForgottenFiles | undefined): void {
  const counter = metrics.counter(
    "cdh_forgotten_files_total",
    "Files that the program forgot to close: each is a bug, told in the log.",
  );
  let shown = 0;
  metrics.onRender(() => {
    const count = forgotten?.count ?? 0;
    counter.inc({}, count - shown);
    shown = count;
  });
}
