import { createHash, type Hash } from "node:crypto";
import { constants, open, rename, rm, writeFile, type FileHandle } from "node:fs/promises";
import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { readJsonFile } from "@cdh/core/files/json-file";
import { FILE_MODE } from "@cdh/core/spool/layout";
import type { KubeClient } from "./client.ts";

/** What came out. */
export interface Downloaded {
  path: string;
  sizeBytes: number;
  /** Where this run went on, when an earlier one was interrupted. */
  resumedAtBytes: number;
  sha256: string;
  /** The server said which SHA-256 it must have, and it has. */
  isVerified: boolean;
}

/** Say how to download. */
export interface DownloadOptions {
  force?: boolean;
  signal: AbortSignal;
  clock: Pick<Clock, "sleep">;
  onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** What an interrupted run knows of its part. */
interface Note {
  etag: string;
}

/** Broken connections in a row without a byte coming through, after which a download is given up. */
const TRIES = 5;
/** Between two tries, in milliseconds; the last of {@link TRIES} is not reached. */
const BACKOFF = { baseMs: 500, capMs: 4000 };

/**
 * Download a path to a file. It has its name only when it is whole; a connection that breaks is gone on with, and so is
 * the part that an interrupted run left, as long as the server still has the same.
 * @throws {CdhError} CDH_DISK, CDH_BUNDLE_HASH, the CDH_STORE family
 */
export async function downloadTo(
  client: KubeClient,
  path: string,
  file: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const partial = `${file}.partial`;
  if (options.force !== true && (await exists(file)))
    throw new CdhError("CDH_DISK", `cannot write ${file}: already exists`, { hint: "--force replaces it" });
  const note = await readNote(partial);
  // Where the system has no O_NOFOLLOW, links need rights that nobody has by default.
  const flags = constants.O_RDWR | constants.O_CREAT | (note === undefined ? constants.O_TRUNC : 0);
  const handle = await open(partial, flags | (constants.O_NOFOLLOW ?? 0), FILE_MODE).catch((error: unknown) => {
    throw new CdhError("CDH_DISK", `cannot write ${partial}: ${reasonOf(error)}`, { cause: error });
  });
  const state: State = {
    handle,
    partial,
    etag: note?.etag,
    doneBytes: 0,
    totalBytes: undefined,
    hash: createHash("sha256"),
  };
  let resumedAtBytes;
  try {
    if (note !== undefined) await readPart(state);
    resumedAtBytes = state.doneBytes;
    await fill(client, path, state, options);
  } catch (error) {
    if (error instanceof CdhError || options.signal.aborted || errnoOf(error) === undefined) throw error;
    throw new CdhError("CDH_DISK", `cannot write ${partial}: ${reasonOf(error)}`, { cause: error });
  } finally {
    await handle.close();
  }
  const sha256 = state.hash.digest("hex");
  const promised = /^"([0-9a-f]{64})"$/.exec(state.etag ?? "")?.[1];
  if (promised !== undefined && promised !== sha256) {
    await rm(partial, { force: true });
    await rm(noteOf(partial), { force: true });
    throw new CdhError(
      "CDH_BUNDLE_HASH",
      `cannot trust ${file}: its SHA-256 is ${sha256}, the server says ${promised}`,
    );
  }
  await rename(partial, file);
  await rm(noteOf(partial), { force: true });
  return { path: file, sizeBytes: state.doneBytes, resumedAtBytes, sha256, isVerified: promised !== undefined };
}

interface State {
  handle: FileHandle;
  partial: string;
  etag: string | undefined;
  doneBytes: number;
  totalBytes: number | undefined;
  hash: Hash;
}

async function fill(client: KubeClient, path: string, state: State, options: DownloadOptions): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const before = state.doneBytes;
    try {
      await fillOnce(client, path, state, options);
      return;
    } catch (error) {
      options.signal.throwIfAborted();
      const isNetwork =
        error instanceof CdhError ? error.code === "CDH_STORE_UNREACHABLE" : errnoOf(error) !== "ENOSPC";
      if (state.doneBytes > before) tries = 0;
      if (!isNetwork || tries + 1 >= TRIES || isDisk(error)) throw error;
      await options.clock.sleep(backoffMs(tries + 1, BACKOFF), options.signal);
    }
  }
}

async function fillOnce(client: KubeClient, path: string, state: State, options: DownloadOptions): Promise<void> {
  const isResumed = state.doneBytes > 0 && state.etag !== undefined;
  const answer = await client.ask(path, {
    headers: {
      accept: "*/*",
      ...(isResumed ? { range: `bytes=${state.doneBytes}-`, "if-range": state.etag ?? "" } : {}),
    },
    accept: [416],
    signal: options.signal,
  });
  const { statusCode, headers } = answer;
  // Nothing is left to get: the part is the whole.
  if (statusCode === 416) {
    answer.destroy();
    state.totalBytes = Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1]);
    if (state.totalBytes === state.doneBytes) return;
  }
  if (statusCode !== 206) await restart(state);
  state.etag = headers.etag?.startsWith('"') === true ? headers.etag : undefined;
  const length = headers["content-length"] === undefined ? undefined : Number(headers["content-length"]);
  state.totalBytes = length === undefined ? undefined : state.doneBytes + length;
  if (state.etag !== undefined)
    await writeFile(noteOf(state.partial), JSON.stringify({ etag: state.etag } satisfies Note), { mode: FILE_MODE });
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length;)
        at += (await state.handle.write(chunk, at, chunk.length - at, state.doneBytes + at)).bytesWritten;
      state.hash.update(chunk);
      state.doneBytes += chunk.length;
      options.onProgress?.(state.doneBytes, state.totalBytes);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (isDisk(error)) throw error;
    throw new CdhError(
      "CDH_STORE_UNREACHABLE",
      `the download broke off at byte ${state.doneBytes}: ${reasonOf(error)}`,
      {
        cause: error,
        hint: "the same command goes on from there",
      },
    );
  }
  if (state.totalBytes !== undefined && state.doneBytes < state.totalBytes)
    throw new CdhError("CDH_STORE_UNREACHABLE", `the download ended at byte ${state.doneBytes} of ${state.totalBytes}`);
}

/** What the server sends is not what the part was of: begin again. */
async function restart(state: State): Promise<void> {
  state.doneBytes = 0;
  state.hash = createHash("sha256");
  await state.handle.truncate(0);
}

async function readPart(state: State): Promise<void> {
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (;;) {
    const { bytesRead } = await state.handle.read(buffer, 0, buffer.length, state.doneBytes);
    if (bytesRead === 0) return;
    state.hash.update(buffer.subarray(0, bytesRead));
    state.doneBytes += bytesRead;
  }
}

async function readNote(partial: string): Promise<Note | undefined> {
  try {
    const { etag } = (await readJsonFile(noteOf(partial))) as Partial<Note>;
    return typeof etag === "string" && (await exists(partial)) ? { etag } : undefined;
  } catch {
    return undefined;
  }
}

function noteOf(partial: string): string {
  return `${partial}.json`;
}

function isDisk(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EIO", "EFBIG", "EROFS"].includes(errnoOf(error) ?? "");
}

async function exists(file: string): Promise<boolean> {
  const there = await open(file, "r").catch(() => undefined);
  await there?.close();
  return there !== undefined;
}
