import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import { CdhError } from "@cdh/core/errors";

/** Render crictl's configuration, with the five keys that IBM's agent writes. */
export function renderCrictlConfig(endpoint: string): string {
  return [
    `runtime-endpoint: ${endpoint}`,
    `image-endpoint: ${endpoint}`,
    "timeout: 2",
    "debug: false",
    "pull-image-on-create: false",
    "",
  ].join("\n");
}

/**
 * Find the crictl to copy: beside the composer, else in these directories.
 * @throws {CdhError} CDH_NOT_FOUND
 */
export function findCrictl(composer: string, directories: readonly string[]): string {
  for (const directory of [dirname(composer), ...directories]) {
    const path = join(directory, "crictl");
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not this one.
    }
  }
  throw new CdhError("CDH_NOT_FOUND", "cannot find a crictl to copy", { hint: "--crictl (CRICTL) names it" });
}
