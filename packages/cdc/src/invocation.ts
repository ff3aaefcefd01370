import { isatty } from "node:tty";
import { isKernelMode } from "@cdh/core/kernel/arguments";

/** The words after the program's name. */
export const words: readonly string[] = process.argv.slice(2);

/**
 * Whether this is a crash. The kernel's stdin is a pipe, never a terminal: a person who types `cdc` gets help instead
 * of a program that waits for a core.
 */
export const isCrash: boolean = isKernelMode(words) && !isatty(0);
