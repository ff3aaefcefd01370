import { CdhError } from "../base/errors.ts";

/**
 * What the kernel keeps of a core pattern: 128 bytes with the closing NUL. It cuts a longer one without a word.
 * @see fs/coredump.c, CORENAME_MAX_SIZE
 */
export const CORE_PATTERN_MAX_BYTES = 127;

/** The line's words in order: identity first, so that the first of two equal flags is ours; untrusted text last. */
const WORDS = [
  "-P=%P",
  "-p=%p",
  "-i=%I",
  "-u=%u",
  "-g=%g",
  "-s=%s",
  "-t=%t",
  "-c=%c",
  "-m=%d",
  "-F=%F",
  "-h=%h",
  "-e=%e",
  "-E=%E",
];

/** What goes first when HOST_DIR is long: each can be learnt from /proc or the core as well. */
const DISPENSABLE = ["-g=%g", "-i=%I", "-u=%u", "-E=%E"];

/** Name of the composer in HOST_DIR. */
export const COMPOSER_NAME = "cdc";

/** What a core pattern says. */
export type CorePattern =
  | { kind: "pipe"; executable: string; args: string[] }
  | { kind: "socket"; path: string; protocol: 1 | 2 }
  | { kind: "file"; path: string };

/**
 * Build the core pattern that starts the composer of this HOST_DIR, at most {@link CORE_PATTERN_MAX_BYTES} bytes.
 * @throws {CdhError} CDH_CONFIG_INVALID when HOST_DIR is not an absolute path, or has a blank or a control byte in it:
 *   the kernel would split the path there
 * @throws {CdhError} CDH_PATTERN_TOO_LONG when not even the required words fit
 */
export function buildCorePattern(hostDir: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not be there
  if (!hostDir.startsWith("/") || /[\s\u0000-\u0020\u007f]/.test(hostDir)) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `cannot use ${JSON.stringify(hostDir)} as HOST_DIR: the kernel needs an absolute path without blanks`,
      {
        hint: "choose a HOST_DIR such as /var/mnt/core-dump-handler",
        details: { hostDir },
      },
    );
  }
  // A literal % must be doubled, or the kernel takes it for a specifier.
  const head = `|${composerPath(hostDir).replaceAll("%", "%%")}`;
  const words = [...WORDS];
  for (const victim of [undefined, ...DISPENSABLE]) {
    if (victim !== undefined) words.splice(words.indexOf(victim), 1);
    const pattern = [head, ...words].join(" ");
    if (Buffer.byteLength(pattern) <= CORE_PATTERN_MAX_BYTES) return pattern;
  }
  const room = CORE_PATTERN_MAX_BYTES - Buffer.byteLength([`|/${COMPOSER_NAME}`, ...words].join(" "));
  throw new CdhError(
    "CDH_PATTERN_TOO_LONG",
    `cannot put ${hostDir} into the core pattern: the kernel keeps ${CORE_PATTERN_MAX_BYTES} bytes of it`,
    {
      hint: `choose a HOST_DIR of at most ${room} bytes`,
      details: { hostDir, maxHostDirBytes: room },
    },
  );
}

/** Read a core pattern. Total: whatever the text, it is a pipe, a socket or a file name. A closing newline is ignored. */
export function parseCorePattern(text: string): CorePattern {
  const pattern = text.replace(/\n+$/, "");
  if (pattern.startsWith("|")) {
    const [executable = "", ...args] = pattern.slice(1).split(/\s+/).filter(Boolean);
    return { kind: "pipe", executable, args };
  }
  if (pattern.startsWith("@@")) return { kind: "socket", path: pattern.slice(2), protocol: 2 };
  if (pattern.startsWith("@")) return { kind: "socket", path: pattern.slice(1), protocol: 1 };
  return { kind: "file", path: pattern };
}

/**
 * Tell whether a core pattern starts a composer: ours in any HOST_DIR, or IBM's, whole or cut short by the kernel.
 * With `hostDir`, only the composer of that directory counts.
 */
export function isOurPattern(text: string, hostDir?: string): boolean {
  const pattern = parseCorePattern(text);
  if (pattern.kind !== "pipe") return false;
  const executable = pattern.executable.replaceAll("%%", "%").replaceAll(/\/{2,}/g, "/");
  if (hostDir !== undefined) return executable === composerPath(hostDir);
  if (!executable.startsWith("/") || !executable.endsWith(`/${COMPOSER_NAME}`)) return false;
  return pattern.args[0] === "-P=%P" || pattern.args[0] === "-c=%c";
}

/** Name of the cores that the kernel writes itself in MODE=file. The uploader takes `core*`; the end makes it ours. */
export const FILE_NAME_PATTERN = "core.%h.%e.%P.%s.%t.cdh";

/** Tell whether a core pattern is one of this kind of handler, in whatever directory: never a node's own. */
export function isHandlerPattern(pattern: string): boolean {
  return isOurPattern(pattern) || pattern.endsWith(`/${FILE_NAME_PATTERN}`);
}

function composerPath(hostDir: string): string {
  return `${hostDir}/${COMPOSER_NAME}`.replaceAll(/\/{2,}/g, "/");
}
