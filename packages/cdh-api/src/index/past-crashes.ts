import type { DumpRecord } from "./dump-record.ts";

/** Crashes of one bug whose dumps are gone, by retention or by hand: what is still known of them. */
export interface PastCrashes extends Pick<
  DumpRecord,
  | "podNamespace"
  | "identityVerified"
  | "restricted"
  | "signature"
  | "site"
  | "exe"
  | "signalName"
  | "ownerName"
  /** Of the newest one. */
  | "summary"
> {
  readonly count: number;
  readonly wholeCores: number;
  /** Of which only a report was kept. */
  readonly countedOnly: number;
  /** Epoch milliseconds. */
  readonly first: number;
  readonly last: number;
  readonly firstImage: string | undefined;
  readonly lastImage: string | undefined;
}
