import { tryParseSignal } from "./signals.ts";

/** An exit status, and what it says. */
interface ExitStatus {
  status: number;
  /** A few words, for the end of a help page. */
  short: string;
  /** A sentence, for the reference. */
  meaning: string;
}

/**
 * Exit statuses of every program, coarse on purpose: a script can branch on them, a person reads the message.
 * Numbers are part of the contract (docs/json-output.md).
 */
export const EXIT_STATUSES = {
  ok: { status: 0, short: "done", meaning: "Done. Also a daemon that was asked to stop." },
  bug: {
    status: 1,
    short: "a bug of ours",
    meaning: "A bug of ours: please report it with the stack that it printed.",
  },
  usage: { status: 2, short: "wrong command line", meaning: "The command line is wrong." },
  incomplete: {
    status: 3,
    short: "finished, but incomplete",
    meaning: "Finished, but something is missing, was left, or is not whole; the output says what.",
  },
  config: {
    status: 10,
    short: "configuration",
    meaning: "A setting is wrong, or settings don't go together.",
  },
  environment: {
    status: 11,
    short: "the environment refuses",
    meaning: "This machine refuses: not root, a read-only mount, no handler may run here.",
  },
  notFound: { status: 12, short: "not found", meaning: "A file, bundle, entry or object is not there." },
  disk: { status: 13, short: "local disk", meaning: "The local disk: full, unwritable, unreadable." },
  runtime: {
    status: 14,
    short: "container runtime or debugger",
    meaning: "The container runtime, or a debugger, did not do what was asked.",
  },
  store: {
    status: 15,
    short: "store",
    meaning: "The store: not reachable, denied, refused, or it gave back something else.",
  },
  damaged: { status: 16, short: "damaged data", meaning: "Data is damaged, or is not what it says it is." },
  owned: {
    status: 17,
    short: "somebody else owns it",
    meaning: "Somebody else owns it: the kernel's value is another's, or changed again at once.",
  },
  deadline: { status: 32, short: "deadline", meaning: "It took longer than allowed." },
} as const satisfies Record<string, ExitStatus>;

/** Name one of the coarse exit statuses. */
export type ExitName = keyof typeof EXIT_STATUSES;

const ENTRIES = Object.entries(EXIT_STATUSES) as [ExitName, ExitStatus][];

/** The number of each exit status by its name. */
export const EXIT = Object.fromEntries(ENTRIES.map(([name, { status }]) => [name, status])) as {
  readonly [Name in ExitName]: (typeof EXIT_STATUSES)[Name]["status"];
};

/** Signals by which a program is asked to end, with the status of work that is given up because of one. */
export const ENDING_SIGNALS = {
  SIGHUP: statusOfSignal("SIGHUP"),
  SIGINT: statusOfSignal("SIGINT"),
  SIGTERM: statusOfSignal("SIGTERM"),
} as const;

/** Name one of {@link ENDING_SIGNALS}. */
export type EndingSignal = keyof typeof ENDING_SIGNALS;

/** Text of the EXIT STATUS section at the end of every help page. */
export const EXIT_STATUS_HELP = [
  ...ENTRIES.map(([, { status, short }]) => `${status} ${short}`),
  "128 and the signal's number where one ended it",
].join("; ");

/** What a shell shows of a program that a signal ended: 128 and the signal's number. @param signal such as `SIGTERM` */
export function statusOfSignal(signal: string): number {
  const number = tryParseSignal(signal);
  return number === undefined ? EXIT.bug : 128 + number;
}
