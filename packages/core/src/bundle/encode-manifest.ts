import { cutText } from "../base/cut-text.ts";
import { fitStacks } from "./encode-stacks.ts";
import type { Manifest, Problem } from "./manifest.ts";

/** A manifest as it is written: within the limits of writers, whatever it was made of. */
export interface EncodedManifest {
  /** What the bytes say. */
  manifest: Manifest;
  /** JSON in UTF-8, ended by a newline. */
  bytes: Buffer;
}

/** A part of the manifest: bytes of its JSON, and how many items. */
interface Share {
  bytes: number;
  items: number;
}

const KIB = 1024;

/** All shares together stay within `WRITE_LIMITS.manifest`; `rest` is everything that is no list. */
const SHARES = {
  threads: { bytes: 512 * KIB, items: 4096 },
  modules: { bytes: 768 * KIB, items: 4096 },
  cmdline: { bytes: 256 * KIB, items: 4096 },
  labels: { bytes: 128 * KIB, items: 512 },
  problems: { bytes: 64 * KIB, items: 64 },
  rest: { bytes: 256 * KIB, items: 512 },
} as const satisfies Record<string, Share>;

const DETAIL_MAX_BYTES = 1000;
/** A manifest's objects are four levels deep. */
const DEPTH_MAX = 4;

/**
 * Write a manifest as JSON. The crashing process decides how long most of it is, so each list has its share and is cut
 * where that ends, and other values that have no room are left out; a problem says so. Compact, because indentation
 * costs each level's bytes for each line.
 */
export function encodeManifest(manifest: Manifest): EncodedManifest {
  const cuts: string[] = [];
  const { threads, modules, process, pod, container, node, problems, message, ...facts } = manifest;
  const { cmdline, ...processFacts } = process;
  const { labels, ...podFacts } = pod ?? {};
  const rest = new RestShare(cuts);
  const kept = {
    // What no reader can do without comes first.
    ...rest.keep(facts),
    process: { ...rest.keep(processFacts, "process"), ...(cmdline && { cmdline: takeWords(cmdline, cuts) }) },
    ...(pod && {
      pod: inOrderOf(pod, {
        ...rest.keep(podFacts, "pod"),
        ...(labels && { labels: Object.fromEntries(take("labels", Object.entries(labels), cuts)) }),
      }),
    }),
    ...rest.keep({ container, node }),
    // Its maker bounds it.
    ...(message && { message }),
    ...(threads && {
      threads: take(
        "threads",
        threads.map(({ stack: _stack, ...thread }) => thread),
        cuts,
      ),
    }),
    ...(modules && { modules: take("modules", modules, cuts) }),
    problems: take("problems", problems.map(withShortDetail), cuts),
  };
  if (threads !== undefined && kept.threads !== undefined)
    kept.threads = fitStacks(kept.threads, threads, jsonBytes(kept), cuts);
  if (cuts.length > 0) kept.problems.push({ step: "manifest", code: "CDH_CUT", detail: cutDetail(cuts.join("; ")) });
  kept.process = inOrderOf(process, kept.process);
  const written = inOrderOf(manifest, kept) as unknown as Manifest;
  return { manifest: written, bytes: Buffer.from(`${JSON.stringify(written)}\n`) };
}

/** Give the fields of `value` in the order in which they stand in `model`. */
function inOrderOf<T extends object>(model: object, value: T): T {
  return Object.fromEntries(
    Object.keys(model)
      .filter((key) => Object.hasOwn(value, key))
      .map((key) => [key, value[key as keyof T]]),
  ) as T;
}

/** Keep the first items of a list that have room in its share. */
function take<T>(name: keyof typeof SHARES, items: readonly T[], cuts: string[]): T[] {
  const share: Share = SHARES[name];
  let bytes = 0;
  let count = 0;
  while (count < Math.min(items.length, share.items)) {
    bytes += jsonBytes(items[count]);
    if (bytes > share.bytes) break;
    count += 1;
  }
  if (count < items.length) cuts.push(`${name}: the first ${count} of ${items.length}`);
  return items.slice(0, count);
}

/** Keep the first words of a command line, and the beginning of the one that has no room. */
function takeWords(words: readonly string[], cuts: string[]): string[] {
  const kept = take("cmdline", words, cuts);
  const next = words[kept.length];
  if (next === undefined || kept.length === SHARES.cmdline.items) return kept;
  const left = SHARES.cmdline.bytes - jsonBytes(kept);
  const start = cutToJson(next, left);
  return start === "" ? kept : [...kept, start];
}

/** The one share of all values that are no list, in the order in which they come. */
class RestShare {
  readonly #cuts: string[];
  #bytes: number = SHARES.rest.bytes;
  #items: number = SHARES.rest.items;

  constructor(cuts: string[]) {
    this.#cuts = cuts;
  }

  /** Keep what has room; half a value would be another one, so the others are left out. */
  keep<T extends object>(value: T, path = "", depth = 1): T {
    const entries = Object.entries(value).flatMap(([key, item]: [string, unknown]): [string, unknown][] => {
      const at = path === "" ? key : `${path}.${key}`;
      if (item === undefined) return [];
      this.#items -= 1;
      this.#bytes -= key.length * 6;
      if (typeof item === "object" && item !== null && depth < DEPTH_MAX) {
        const inner = this.keep(item, at, depth + 1);
        // A list stays one.
        return [[key, Array.isArray(item) ? Object.values(inner) : inner]];
      }
      const isLong =
        typeof item === "object" ? item !== null : typeof item === "string" && jsonBytes(item) > this.#bytes;
      if (isLong || this.#items < 0) {
        if (this.#cuts.length < SHARES.problems.items) this.#cuts.push(`${at}: left out, too long`);
        return [];
      }
      this.#bytes -= jsonBytes(item);
      return [[key, item]];
    });
    return Object.fromEntries(entries) as T;
  }
}

function withShortDetail(problem: Problem): Problem {
  return problem.detail === undefined ? problem : { ...problem, detail: cutDetail(problem.detail) };
}

function cutDetail(detail: string): string {
  return cutText(detail, DETAIL_MAX_BYTES);
}

/** Bytes of a value's JSON, and of the sign that parts it from the next. */
function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value)) + 1;
}

/** Cut a text so that its JSON takes no more than so many bytes. */
function cutToJson(text: string, maxBytes: number): string {
  let cut = cutText(text, Math.max(0, maxBytes - 3));
  // Escapes take up to six bytes for one: what is too long is cut in proportion until it fits.
  for (let bytes = jsonBytes(cut); cut !== "" && bytes > maxBytes; bytes = jsonBytes(cut))
    cut = cutText(cut, Math.floor((Buffer.byteLength(cut) * Math.max(0, maxBytes - 3)) / bytes));
  return cut;
}
