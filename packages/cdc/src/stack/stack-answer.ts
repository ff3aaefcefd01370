import type { FrameFacts, StackFacts } from "@cdh/core/bundle/manifest";
import { tryParseJson } from "@cdh/core/json";
import { ARTEFACTS_MAX, isArtefactName } from "./runtime-artefacts.ts";

/** One line that a walker of stacks writes. A thread's later stack is a better one. */
export type StackAnswer =
  | { tid: number; stack: StackFacts }
  | { note: string }
  | { artefact: string; sizeBytes: number; base64: string }
  | { artefact: string; failure: string };

/** A file that the program's runtime wrote about the crash. */
export interface RuntimeArtefact {
  name: string;
  bytes: Buffer;
  /** Of the file, which may have more than is kept. */
  sizeBytes: number;
}

/** What a walker told. */
export interface DecodedAnswers {
  stacks: Map<number, StackFacts>;
  /** Why names may be missing. */
  notes: string[];
  artefacts: RuntimeArtefact[];
  /** Artefacts that could not be read, or not wholly, and why. */
  failures: string[];
}

const LINE_LIMITS = { bytes: 1024 * 1024, depth: 8, elements: 20_000 };
const TEXT_MAX_LENGTH = 600;
const FRAMES_MAX = 1024;
const TEXTS = ["pc", "offset", "function", "functionOffset", "file", "kind", "trust"] as const;

/** Write an answer as a line. */
export function encodeAnswer(answer: StackAnswer): string {
  return `${JSON.stringify(answer)}\n`;
}

/**
 * Read the whole lines of what a walker wrote. It reads hostile files, so nothing is taken but what a stack is made of.
 * @param modules how many the manifest lists
 * @param pid the process's own, which names of artefacts have in them
 */
export function decodeAnswers(output: Buffer, modules: number, pid: number): DecodedAnswers {
  const stacks = new Map<number, StackFacts>();
  const artefacts = new Map<string, { pieces: Buffer[]; sizeBytes: number }>();
  let room = ARTEFACTS_MAX.bytes;
  const notes: string[] = [];
  const failures: string[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0x0a, at);
    if (end === -1) break;
    const value = tryParseJson(output.subarray(at, end), LINE_LIMITS);
    at = end + 1;
    if (!isRecord(value)) continue;
    const stack = stackOf(value["stack"], modules);
    if (typeof value["tid"] === "number" && stack !== undefined) stacks.set(value["tid"], stack);
    else if (typeof value["note"] === "string") notes.push(value["note"].slice(0, TEXT_MAX_LENGTH));
    const { artefact: name, sizeBytes, base64 } = value;
    if (typeof name !== "string" || !isArtefactName(name, pid)) continue;
    const failure = textOf(value["failure"]);
    if (failure !== undefined && failures.length < ARTEFACTS_MAX.failures) failures.push(`${name}: ${failure}`);
    if (typeof base64 !== "string") continue;
    const piece = Buffer.from(base64, "base64");
    const known = artefacts.get(name) ?? { pieces: [], sizeBytes: countOf(sizeBytes) ?? 0 };
    if (piece.length > room || (!artefacts.has(name) && artefacts.size === ARTEFACTS_MAX.files)) continue;
    room -= piece.length;
    known.pieces.push(piece);
    artefacts.set(name, known);
  }
  return {
    stacks,
    notes,
    failures,
    artefacts: [...artefacts].map(([name, { pieces, sizeBytes }]) => {
      const bytes = Buffer.concat(pieces);
      return { name, bytes, sizeBytes: Math.max(sizeBytes, bytes.length) };
    }),
  };
}

function stackOf(value: unknown, modules: number): StackFacts | undefined {
  if (!isRecord(value) || !Array.isArray(value["frames"]) || !isRecord(value["end"])) return undefined;
  const { end, leftOut } = value;
  const kind = textOf(end["kind"]);
  if (kind === undefined) return undefined;
  const [before, count] = isRecord(leftOut) ? [countOf(leftOut["before"]), countOf(leftOut["count"])] : [];
  const [address, target] = [textOf(end["address"]), textOf(end["value"])];
  return {
    frames: value["frames"].slice(0, FRAMES_MAX).flatMap((frame) => frameOf(frame, modules)),
    ...(before === undefined || count === undefined ? {} : { leftOut: { before, count } }),
    end: {
      kind,
      ...(address === undefined ? {} : { address }),
      ...(target === undefined ? {} : { value: target }),
    },
  };
}

function frameOf(value: unknown, modules: number): FrameFacts[] {
  if (!isRecord(value) || typeof value["pc"] !== "string") return [];
  const [module, line] = [countOf(value["module"]), countOf(value["line"])];
  const texts = Object.fromEntries(
    TEXTS.flatMap((name) => {
      const text = textOf(value[name]);
      return text === undefined ? [] : [[name, text]];
    }),
  ) as Pick<FrameFacts, (typeof TEXTS)[number]>;
  return [
    {
      ...texts,
      ...(module === undefined || module >= modules ? {} : { module }),
      ...(line === undefined ? {} : { line }),
      ...(value["inlined"] === true ? { inlined: true } : {}),
      ...(value["signal"] === true ? { signal: true } : {}),
    },
  ];
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value.slice(0, TEXT_MAX_LENGTH) : undefined;
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
