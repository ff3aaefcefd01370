import { FairQueue } from "./fair-queue.ts";
import { Gate } from "./gate.ts";

/** Requests of callers who are known, through the cluster's API server and directly. */
const REQUESTS_MAX = 2000;
const WATCHES_MAX = 1000;
const LONG_LISTS_MAX = 16;
/** A compressor takes 300 KiB. */
const LONG_ANSWERS_MAX = 128;
/** A manifest can have megabytes, and as an object several times as many. */
const MANIFESTS_AT_ONCE = 4;

/** What is limited, each shared by who asks. */
export interface Gates {
  /** Requests of callers who are known, watches and downloads included. */
  readonly requests: Gate;
  readonly watches: Gate;
  readonly downloads: Gate;
  /** Downloads that decompress, and reports. */
  readonly cores: Gate;
  /** Lists that are held in memory while they are sent. */
  readonly longLists: Gate;
  /** Answers that are written in pieces, each with a compressor. */
  readonly longAnswers: Gate;
  /** Manifests that are read: in turn, since each is short. */
  readonly manifests: FairQueue;
}

/** Make the gates of a server. */
export function makeGates({ downloadsMax, coresMax }: { downloadsMax: number; coresMax: number }): Gates {
  return {
    requests: new Gate(REQUESTS_MAX, "requests"),
    watches: new Gate(WATCHES_MAX, "watches"),
    downloads: new Gate(downloadsMax, "downloads"),
    cores: new Gate(coresMax, "cores and reports"),
    longLists: new Gate(LONG_LISTS_MAX, "lists that long"),
    longAnswers: new Gate(LONG_ANSWERS_MAX, "long answers"),
    manifests: new FairQueue(MANIFESTS_AT_ONCE),
  };
}
