import { toRfc3339, type Clock } from "../base/clock.ts";

/** Log levels, least to most severe. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "off"] as const;

/** Name a log level. IBM's spellings (`Warn`, `INFO`) are accepted by {@link parseLogLevel}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Carry the facts of one log line; units belong in the key (`durationMs`, `sizeBytes`). */
export type LogFields = Record<string, unknown>;

/** Write log lines: a constant phrase, and the data in keys. */
export interface Logger {
  trace(msg: string, fields?: LogFields): void;
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** Make a logger whose every line carries these fields too. */
  child(fields: LogFields): Logger;
}

/** Say where and how to log. */
export interface LoggerOptions {
  program: string;
  level: LogLevel;
  format: "json" | "text";
  clock: Clock;
  /** Receives one complete line, newline included. */
  write: (line: string) => void;
  fields?: LogFields;
}

/** Read a level in any case, `warning` and `fatal` included; undefined when it is none. */
export function tryParseLogLevel(text: string): LogLevel | undefined {
  const lower = text.trim().toLowerCase();
  if (lower === "warning") return "warn";
  if (lower === "fatal") return "error";
  return LOG_LEVELS.find((level) => level === lower);
}

/** Make a logger: one JSON object a line, or a line for people. */
export function createLogger(options: LoggerOptions): Logger {
  const floor = LOG_LEVELS.indexOf(options.level);
  const emit = (level: LogLevel, msg: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(level) < floor || options.level === "off") return;
    const time = toRfc3339(options.clock.now());
    const all = { ...options.fields, ...fields };
    options.write(
      options.format === "json"
        ? `${JSON.stringify({ time, level, program: options.program, msg, ...all }, jsonValue)}\n`
        : `${time} ${level.toUpperCase().padEnd(5)} ${msg}${textFields(all)}\n`,
    );
  };
  return {
    trace: (msg, fields) => emit("trace", msg, fields),
    debug: (msg, fields) => emit("debug", msg, fields),
    info: (msg, fields) => emit("info", msg, fields),
    warn: (msg, fields) => emit("warn", msg, fields),
    error: (msg, fields) => emit("error", msg, fields),
    child: (fields) => createLogger({ ...options, fields: { ...options.fields, ...fields } }),
  };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) return { message: value.message, stack: value.stack };
  return value;
}

function textFields(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${JSON.stringify(value, jsonValue)}`)
    .join("");
}
