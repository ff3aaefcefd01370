import { writeSync } from "node:fs";
import { inspect } from "node:util";
import { timerMs } from "../base/clock.ts";
import { ENDING_SIGNALS, EXIT, type EndingSignal } from "../base/exit-status.ts";
import { ForgottenFiles } from "../base/forgotten-files.ts";

const SIGNALS = Object.keys(ENDING_SIGNALS) as EndingSignal[];

/** Where nothing longer is asked for, work is given up in this time: nobody waits longer for a prompt. */
const GRACE_MS = 3000;

/** How long what is left behind by work that has ended, such as a call that hangs, may keep the process. */
const LINGER_MS = 2000;

/** How a program ends when it is told to. */
export interface Ending {
  /** Aborted by the first signal. */
  readonly stopSignal: AbortSignal;
  /** Exit status of work that was given up because of the signal. */
  status(): number;
  /** Allow work to go on for so long after the first signal, in milliseconds; the longest that was allowed counts. */
  allow(graceMs: number): void;
  /** Leave Ctrl-C to a child that has the terminal, until the returned function is called. */
  leaveInterrupts(): () => void;
  /** The work has ended. After a signal nothing keeps the process much longer, not even a call that hangs. */
  finish(): void;
  /** Wait for signals no longer: the next one has the system's own effect. A grace that runs goes on running. */
  release(): void;
}

/**
 * Wait for SIGINT, SIGTERM and SIGHUP. The first asks the work to end, and gives it a grace; the second ends the process
 * at once, and so does the end of the grace, whatever hangs: a FIFO, a mount whose server is gone, a loop in a system call.
 * @param program names it in the message
 */
export function watchSignals(program: string): Ending {
  const stop = new AbortController();
  let graceMs = GRACE_MS;
  let first: EndingSignal | undefined;
  let interruptsLeft = 0;

  const onSignal = (signal: EndingSignal): void => {
    if (signal === "SIGINT" && interruptsLeft > 0) return;
    if (first !== undefined) return end(signal);
    first = signal;
    stop.abort(new Error(`received ${signal}`));
    // The timer keeps nothing alive; what hangs does.
    setTimeout(() => {
      tell(`${program}: still not done ${graceMs / 1000} s after ${signal}: ended\n`);
      end(signal);
    }, timerMs(graceMs)).unref();
  };
  const release = (): void => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  /**
   * Die of the signal itself. `process.exit` would first wait for every thread that sits in a system call, and so for
   * what hangs.
   */
  const end = (signal: EndingSignal): void => {
    release();
    if (process.platform !== "win32") process.kill(process.pid, signal);
    // The first process of a container is not ended by its own signals, and Windows has none.
    process.exit(ENDING_SIGNALS[signal]);
  };

  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    stopSignal: stop.signal,
    status: () => ENDING_SIGNALS[first ?? "SIGINT"],
    allow: (ms) => {
      graceMs = Math.max(graceMs, ms);
    },
    leaveInterrupts: () => {
      interruptsLeft += 1;
      return () => {
        interruptsLeft -= 1;
      };
    },
    finish: () => {
      const signal = first;
      release();
      if (signal !== undefined) setTimeout(() => end(signal), LINGER_MS).unref();
    },
    release,
  };
}

/**
 * Say what nobody caught, and end the process as Node would; only a file that was forgotten does not end it.
 * @param program names it in the message
 */
export function watchUncaught(program: string): ForgottenFiles {
  const forgotten = new ForgottenFiles((path) => tell(`${program}: ${path} was not closed: a bug, please report it\n`));
  forgotten.watch((error) => {
    tell(`${program}: this is a bug, please report it\n${inspect(error)}\n`);
    process.exit(EXIT.bug);
  });
  return forgotten;
}

/** Write to stderr before the process dies, which would not wait for a stream. */
function tell(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // Nobody reads it any more.
  }
}
