import type { CoreFacts, CoreMachine, CoreMapping, CoreModule, CoreSegment, CoreThread } from "@cdh/core/elf/facts";
import { parseJson } from "@cdh/core/json";
import type { ArtefactWish } from "./runtime-artefacts.ts";
import type { MemoryChunk } from "./take-memory.ts";

/** What a walker of stacks is told on its standard input: this, then the bytes of the chunks. */
export interface StackRequest {
  facts: Pick<CoreFacts, "machine" | "modules" | "mappings" | "segments"> & { threads: CoreThread[] };
  /** Descriptors of mapped files, and where executable parts of them are mapped. */
  files: { fd: number; starts: bigint[] }[];
  chunks: MemoryChunk[];
  /** Which files of the program's runtime are wanted. */
  artefacts?: ArtefactWish;
}

/** The same as JSON; numbers beyond 2^53 are hexadecimal texts. */
interface Wire {
  machine: CoreMachine | undefined;
  threads: (Pick<CoreThread, "tid" | "crashed"> & {
    words: Record<string, string>;
    registers: Record<string, string>;
  })[];
  modules: (Pick<CoreModule, "path" | "buildId" | "goBuildId" | "executable"> & { range: string[] })[];
  paths: string[];
  mappings: [start: string, end: string, fileOffset: string, path: number][];
  segments: [vaddr: string, memSize: number, flags: number][];
  files: { fd: number; starts: string[] }[];
  chunks: [address: string, length: number][];
  artefacts?: ArtefactWish;
}

/** More mappings than this belong to data that is mapped piece by piece. */
const MAPPINGS_MAX = 16_384;
/** As many as the scanner of a composer keeps. */
const HEADER_LIMITS = { bytes: 16 * 1024 * 1024, depth: 8, elements: 1_000_000 };
const LENGTH_BYTES = 4;

/** Write a request: its length, its JSON and the chunks' bytes, in pieces. */
export function encodeRequest({ facts, files, chunks, artefacts }: StackRequest): Buffer[] {
  const modulePaths = new Set(facts.modules.map(({ path }) => path));
  const paths = new Map<string, number>();
  const indexOf = (path: string): number => {
    const known = paths.get(path) ?? paths.size;
    paths.set(path, known);
    return known;
  };
  const wire: Omit<Wire, "paths"> = {
    machine: facts.machine,
    threads: facts.threads.map(({ tid, crashed, pc, sp, fp, registers }) => ({
      tid,
      crashed,
      words: hexAll({ pc, sp, fp }),
      registers: hexAll(registers ?? {}),
    })),
    modules: facts.modules.map(({ path, start, end, fileOffset, buildId, goBuildId, executable }) => ({
      path,
      range: [hex(start), hex(end), ...(fileOffset === undefined ? [] : [hex(fileOffset)])],
      ...(buildId === undefined ? {} : { buildId }),
      ...(goBuildId === undefined ? {} : { goBuildId }),
      ...(executable === undefined ? {} : { executable }),
    })),
    mappings: facts.mappings
      .filter(({ path }) => modulePaths.has(path))
      .slice(0, MAPPINGS_MAX)
      .map(({ start, end, fileOffset, path }) => [hex(start), hex(end), hex(fileOffset), indexOf(path)]),
    segments: facts.segments.map(({ vaddr, memSize, flags }) => [hex(vaddr), memSize, flags]),
    files: files.map(({ fd, starts }) => ({ fd, starts: starts.map(hex) })),
    chunks: chunks.map(({ address, bytes }) => [hex(address), bytes.length]),
    ...(artefacts === undefined ? {} : { artefacts }),
  };
  const json = Buffer.from(JSON.stringify({ ...wire, paths: [...paths.keys()] } satisfies Wire));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  return [length, json, ...chunks.map(({ bytes }) => bytes)];
}

/** Read what {@link encodeRequest} wrote. @throws when it is cut short or something else */
export function decodeRequest(bytes: Buffer): StackRequest {
  const headerEnd = LENGTH_BYTES + bytes.readUInt32LE(0);
  const wire = parseJson(bytes.subarray(LENGTH_BYTES, headerEnd), HEADER_LIMITS) as Wire;
  let at = headerEnd;
  const chunks = wire.chunks.map(([address, length]) => {
    const chunk = { address: BigInt(address), bytes: bytes.subarray(at, at + length) };
    at += length;
    return chunk;
  });
  if (at !== bytes.length) throw new Error(`a request of ${at} bytes came as ${bytes.length}`);
  return {
    facts: {
      ...(wire.machine === undefined ? {} : { machine: wire.machine }),
      threads: wire.threads.map(({ tid, crashed, words, registers }) => ({
        tid,
        crashed,
        ...bigAll(words),
        registers: bigAll(registers),
      })),
      modules: wire.modules.map(({ range: [start = "0", end = "0", fileOffset], ...module }) => ({
        ...module,
        start: BigInt(start),
        end: BigInt(end),
        ...(fileOffset === undefined ? {} : { fileOffset: BigInt(fileOffset) }),
      })),
      mappings: wire.mappings.map(([start, end, fileOffset, path]): CoreMapping => ({
        start: BigInt(start),
        end: BigInt(end),
        fileOffset: BigInt(fileOffset),
        path: wire.paths[path] ?? "",
      })),
      segments: wire.segments.map(([vaddr, memSize, flags]): CoreSegment => ({
        vaddr: BigInt(vaddr),
        offset: 0,
        fileSize: 0,
        memSize,
        flags,
      })),
    },
    files: wire.files.map(({ fd, starts }) => ({ fd, starts: starts.map(BigInt) })),
    chunks,
    ...(wire.artefacts === undefined ? {} : { artefacts: wire.artefacts }),
  };
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function hexAll(values: Record<string, bigint | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, hex(value)]])),
  );
}

function bigAll(values: Record<string, string>): Record<string, bigint> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, BigInt(value)]));
}
