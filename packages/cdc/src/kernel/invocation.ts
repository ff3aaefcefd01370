import { isatty } from "node:tty";
import { isKernelMode } from "@cdh/core/kernel/arguments";

/** The words after the program's name. */
export const words: readonly string[] = process.argv.slice(2);

/** First word of a composer that goes on after it reached its bound of memory. */
export const FINISH_WORD = "--finish-torn";
/** Follows it where MESSAGE is on. */
export const MESSAGE_WORD = "message";

/** First word of a composer's child that walks the stacks of a crashed process. */
export const STACK_WORD = "--walk-stacks";

/** First word of a composer's child that packs the files of a crashed program. */
export const PACK_WORD = "--pack-binaries";

/** Whether this is a composer's child that packs files. */
export const isPacker: boolean = words[0] === PACK_WORD && words.length === 1;

/** Whether this is a composer's child that walks stacks. */
export const isStackWalker: boolean = words[0] === STACK_WORD && words.length === 1;

/** Whether this process was a composer already. */
export const isFinish: boolean = words[0] === FINISH_WORD;

/**
 * Whether this is a crash. The kernel's stdin is a pipe, never a terminal: a person who types `cdc` gets help instead
 * of a program that waits for a core.
 */
export const isCrash: boolean = !isFinish && !isStackWalker && !isPacker && isKernelMode(words) && !isatty(0);
