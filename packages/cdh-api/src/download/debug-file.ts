import { tryParseBuildId, type DebugRole } from "@cdh/core/debug-files/keys";
import { openStoredFile, type StoredFile } from "@cdh/core/debug-files/open-stored";
import { ELF_HEADER_BYTES, tryParseElfHeader } from "@cdh/core/elf/format";
import type { ByteSource } from "@cdh/unwind/elf/byte-source";
import { findSection, type Section } from "@cdh/unwind/elf/sections";
import type { Call } from "../call/call.ts";
import { pathNotFound } from "../http/api-error.ts";
import type { Span } from "./range.ts";
import { sendBody } from "./send-body.ts";

/** What is read of the store at once. */
const READ_BYTES = 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const ASKED_MAX_BYTES = 8 * 1024 * 1024;
const SECTION_NAME_MAX = 128;

/** Send the program or library of a build-id, as debuginfod does. @see debuginfod(8), WEBAPI */
export function sendExecutable(call: Call): Promise<void> {
  return sendFile(call, "executable");
}

/** Send the debug info of a build-id. */
export function sendDebuginfo(call: Call): Promise<void> {
  return sendFile(call, "debuginfo");
}

/** Send the package of split debug info of a build-id; no route of debuginfod's, but in its manner. */
export function sendDwp(call: Call): Promise<void> {
  return sendFile(call, "dwp");
}

/** Send one section, of the debug info when it has it, else of the program. */
export async function sendSection(call: Call): Promise<void> {
  const { app, exchange, param } = call;
  const buildId = buildIdOf(call);
  const name = param("section");
  if (name.length > SECTION_NAME_MAX) throw pathNotFound();
  await app.gates.cores.run(exchange.share, () =>
    app.gates.downloads.run(exchange.share, async () => {
      for (const role of ["debuginfo", "executable"] as const) {
        const stored = await openStoredFile(app.dumps.store, { buildId, role }, { signal: exchange.signal });
        const section = stored && (await sectionOf(sourceOf(stored, exchange.signal), name));
        if (stored === undefined || section === undefined) continue;
        const { offset, sizeBytes } = section;
        if (!(offset + sizeBytes <= stored.sizeBytes)) throw pathNotFound();
        // As it lies in the file, compressed where it is: as debuginfod's own server gives it.
        await send(call, { stored, buildId, part: `${role}-${name}`, sizeBytes }, (at, length) =>
          stored.reader.read(offset + at, length, exchange.signal),
        );
        return;
      }
      throw pathNotFound();
    }),
  );
}

async function sendFile(call: Call, role: DebugRole): Promise<void> {
  const { app, exchange } = call;
  const buildId = buildIdOf(call);
  await app.gates.cores.run(exchange.share, () =>
    app.gates.downloads.run(exchange.share, async () => {
      const stored = await openWanted(call, buildId, role);
      if (stored === undefined) throw pathNotFound();
      const { sizeBytes, reader } = stored;
      await send(call, { stored, buildId, part: role, sizeBytes }, (at, length) =>
        reader.read(at, length, exchange.signal),
      );
    }),
  );
}

/** Code with debug info is kept once, as debug info. */
async function openWanted({ app, exchange }: Call, buildId: string, role: DebugRole): Promise<StoredFile | undefined> {
  const { signal } = exchange;
  const { store } = app.dumps;
  const stored = await openStoredFile(store, { buildId, role }, { signal });
  if (stored !== undefined || role !== "executable") return stored;
  const whole = await openStoredFile(store, { buildId, role: "debuginfo" }, { signal });
  return whole?.facts.hasCode === true ? whole : undefined;
}

async function send(
  call: Call,
  what: { stored: StoredFile; buildId: string; part: string; sizeBytes: number },
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<void> {
  const { app, exchange, who } = call;
  const { stored, buildId, part, sizeBytes } = what;
  const { facts, version, storedAt } = stored;
  const tag = `${version}-${part}`;
  await sendBody(app, exchange, {
    ...who,
    record: { namespace: "", name: buildId },
    subresource: "buildid",
    contentType: "application/octet-stream",
    fileName: `${buildId}.${part}`,
    validators: { etag: `"${tag.replaceAll(/[^\w.-]/g, "_")}"`, modifiedAt: storedAt },
    sizeBytes,
    headers: {
      "x-debuginfod-size": String(sizeBytes),
      ...(facts.name === undefined ? {} : { "x-debuginfod-file": facts.name.replaceAll(/[^\w.+-]/g, "_") }),
    },
    open: (span) => piecesOf(read, span),
  });
}

async function* piecesOf(
  read: (offset: number, length: number) => Promise<Uint8Array>,
  { start, end }: Span,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const bytes = await read(at, Math.min(READ_BYTES - (at % READ_BYTES), end - at));
    if (bytes.length === 0) return;
    for (let from = 0; from < bytes.length; from += PIECE_BYTES) yield bytes.subarray(from, from + PIECE_BYTES);
    at += bytes.length;
  }
}

async function sectionOf(source: ByteSource, name: string): Promise<Section | undefined> {
  const header = tryParseElfHeader(await source.read(0, ELF_HEADER_BYTES));
  return header && findSection(source, header, name);
}

/** What a file says of itself asks for these reads: none is longer than {@link ASKED_MAX_BYTES}. */
function sourceOf({ sizeBytes, reader }: StoredFile, signal: AbortSignal): ByteSource {
  return {
    sizeBytes,
    read: (offset, length) =>
      offset < sizeBytes ? reader.read(offset, Math.min(length, ASKED_MAX_BYTES), signal) : new Uint8Array(),
  };
}

/** The build-id in the path. @throws {ApiError} 404 when it is none */
function buildIdOf({ param }: Call): string {
  const buildId = tryParseBuildId(param("buildid"));
  if (buildId === undefined) throw pathNotFound();
  return buildId;
}
