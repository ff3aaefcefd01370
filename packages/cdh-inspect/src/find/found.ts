import { basename } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import type { RandomAccessSource } from "@cdh/core/bundle/reader-source";
import { CdhError } from "@cdh/core/errors";

/** A bundle that was found, not yet opened. */
export interface Found {
  /** Path or URL, as `show` takes it. */
  label: string;
  /** What tells a person which crash it is, where that is known without opening it. */
  about?: string;
  sizeBytes: number;
  /** Epoch milliseconds; never before the crash, as far as clocks agree. */
  modifiedAt: number;
  /** Open it; `glance` when only what a listing shows is wanted. */
  open(options?: { glance?: boolean }): Promise<RandomAccessSource>;
  /** Get the manifest without opening the bundle: it lies beside it in a store, or came with the listing. */
  readManifest?(): Promise<Manifest>;
  /** Why and where it crashed, where the listing says so and its manifest has no threads. */
  lines?: { summary?: string; where?: string };
}

/** What a text means: one bundle by its whole name, those that a part of a name fits, or all in a place. */
export interface Finding {
  how: "name" | "part" | "place";
  found: Found[];
}

/**
 * Choose by a part of a name. A whole name beats a part of another: `a.zip` or `a` means `a.zip`, not `aa.zip`.
 * @param base length of what all labels start with and the part does not count in
 */
export function choosePart(found: readonly Found[], base: number, part: string): Finding {
  const wanted = part.replaceAll("\\", "/");
  const tail = (one: Found): string => one.label.slice(base).replaceAll("\\", "/");
  const whole = found.filter((one) => [wanted, `${wanted}.zip`].some((name) => `/${tail(one)}`.endsWith(`/${name}`)));
  if (whole.length > 0) return { how: whole.length === 1 ? "name" : "part", found: whole };
  return { how: "part", found: found.filter((one) => tail(one).includes(wanted)) };
}

/** Say that a part of a name fits several bundles. */
export function ambiguous(text: string, found: readonly Pick<Found, "label">[]): CdhError {
  const names = found.slice(0, 5).map((one) => basename(one.label));
  return new CdhError("CDH_NOT_FOUND", `${text} fits ${found.length > 5 ? "many" : found.length} bundles`, {
    hint: `one of ${names.join(", ")}${found.length > 5 ? " …" : ""}`,
  });
}
