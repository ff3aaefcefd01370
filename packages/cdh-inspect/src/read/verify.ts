import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import { isCoreName } from "@cdh/core/bundle/reader-directory";
import { readCoreFacts } from "@cdh/core/elf/random-access";
import { CdhError } from "@cdh/core/errors";
import { formatBytes } from "@cdh/core/units";
import type { OpenedFile } from "./opened-file.ts";

/** One thing that was looked at. */
export interface Finding {
  /** `ok`; `note`: nothing to do with the bundle's health; `warning`: undamaged, but not everything is there; `damaged`. */
  level: "ok" | "note" | "warning" | "damaged";
  /** What was looked at: `structure`, `manifest`, an entry's name, `core`. */
  subject: string;
  message: string;
  /** The error code of what is damaged. */
  code?: string;
}

/** Say how to verify. */
export interface VerifyOptions {
  signal?: AbortSignal;
  /** Called with the core's bytes done so far. */
  onProgress?: (doneBytes: number) => void;
}

/** Look at everything a bundle promises, and tell each result as it comes. The bundle's structure was checked when it was opened. */
export async function* verify(opened: OpenedFile, options: VerifyOptions = {}): AsyncGenerator<Finding> {
  const { bundle, manifest } = opened;
  if (bundle !== undefined) {
    yield ok("structure", `${bundle.entries.length} entries, no two overlap, every name is safe`);
    yield opened.kind === "older"
      ? { level: "warning", subject: "manifest", message: "there is none: an older handler wrote this bundle" }
      : ok("manifest", `schema version ${manifest.schemaVersion}`);
    const core = findCoreEntry(bundle, manifest);
    for (const entry of bundle.entries) {
      if (entry === core) continue;
      yield await checked(entry.name, async () => {
        let sizeBytes = 0;
        for await (const chunk of bundle.stream(entry, signalOption(options))) sizeBytes += chunk.length;
        return `${formatBytes(sizeBytes)}, checksum right`;
      });
      if (isCoreName(entry.name) && core !== undefined)
        yield {
          level: "warning",
          subject: entry.name,
          message: "a second core; only the one in the manifest is looked at",
        };
    }
  }
  yield* verifyCore(opened, options);
  for (const { step, code, detail } of manifest.problems) {
    yield { level: "note", subject: step, message: `while collecting: ${detail ?? "no detail"}`, code };
  }
}

async function* verifyCore(opened: OpenedFile, options: VerifyOptions): AsyncGenerator<Finding> {
  const { manifest, bundle } = opened;
  const entry = bundle === undefined ? undefined : findCoreEntry(bundle, manifest);
  let measured: { sizeBytes: number; sha256: string } | undefined;
  yield await checked(entry?.name ?? "core", async () => {
    const core = await opened.core();
    const promised = opened.kind === "bundle" ? manifest.core.sizeBytes : Number.POSITIVE_INFINITY;
    const hash = createHash("sha256");
    let sizeBytes = 0;
    let storedBytes = 0;
    let crc = 0;
    const onStoredBytes = (bytes: Uint8Array): void => {
      storedBytes += bytes.length;
      crc = crc32(bytes, crc);
    };
    for await (const { bytes } of core.chunks({ ...signalOption(options), onStoredBytes })) {
      hash.update(bytes);
      sizeBytes += bytes.length;
      // A seek table that its own frames contradict was refused by now; more than this is never decoded to find out.
      if (sizeBytes > promised)
        throw new CdhError(
          "CDH_BUNDLE_SIZE",
          `it becomes ${core.sizeBytes ?? `${sizeBytes} or more`} bytes, the manifest says ${promised}`,
        );
      options.onProgress?.(sizeBytes);
    }
    // A deflated entry checks its own checksum; of a stored one it is that of the bytes that were read for it.
    if (entry?.method === "stored" && (storedBytes !== entry.storedBytes || crc !== entry.crc32)) {
      throw new CdhError("CDH_BUNDLE_CRC", "its checksum is wrong, the data was changed");
    }
    measured = { sizeBytes, sha256: hash.digest("hex") };
    const table = core.layout === "frames" ? ", seek table right" : "";
    return `${formatBytes(sizeBytes)} decoded, checksum right${table}`;
  });
  if (measured === undefined) return;
  const { core } = manifest;
  if (opened.kind === "bundle" && core.sizeBytes !== measured.sizeBytes) {
    yield {
      level: "damaged",
      subject: "core",
      code: "CDH_BUNDLE_SIZE",
      message: `it is ${measured.sizeBytes} bytes, the manifest says ${core.sizeBytes}`,
    };
  }
  if (core.sha256 === undefined)
    yield {
      level: opened.kind === "core" ? "note" : "warning",
      subject: "core",
      message: "no SHA-256 is known to compare with",
    };
  else if (core.sha256.toLowerCase() === measured.sha256) yield ok("core", `SHA-256 ${measured.sha256}`);
  else
    yield {
      level: "damaged",
      subject: "core",
      code: "CDH_BUNDLE_HASH",
      message: `SHA-256 is ${measured.sha256}, the manifest says ${core.sha256}`,
    };
  yield await checkWholeness(opened, measured.sizeBytes, options);
}

/** Compare the core with what its own headers promise, and with what the manifest says about that. */
async function checkWholeness(
  { manifest, core: openCore, kind }: OpenedFile,
  sizeBytes: number,
  options: VerifyOptions,
): Promise<Finding> {
  const { core } = manifest;
  const reader = await openCore();
  const facts = await readCoreFacts((offset, length) => reader.read(offset, length, options.signal), {
    sizeBytes,
    limits: { modules: 0 },
    ...signalOption(options),
  });
  if (!facts.isCore) return { level: "warning", subject: "core", message: "it does not start like an ELF core" };
  const expectedBytes = facts.expectedBytes ?? core.expectedBytes;
  if (expectedBytes !== undefined && sizeBytes >= expectedBytes) {
    const isCut = kind === "bundle" && !core.complete && core.truncatedBy !== undefined;
    if (!isCut) return ok("core", "whole: every byte that its headers promise is there");
  }
  const counted = expectedBytes === undefined ? "" : `: ${sizeBytes} of ${expectedBytes} bytes`;
  if (kind === "bundle" && core.complete) {
    return {
      level: "damaged",
      subject: "core",
      code: "CDH_BUNDLE_SIZE",
      message: `the manifest says that it is whole, its headers that it is not${counted}`,
    };
  }
  const by = core.truncatedBy === undefined ? "" : ` (${core.truncatedBy})`;
  return { level: "warning", subject: "core", message: `not whole${by}${counted}` };
}

async function checked(subject: string, check: () => Promise<string>): Promise<Finding> {
  try {
    return ok(subject, await check());
  } catch (error) {
    if (!(error instanceof CdhError) || !error.code.startsWith("CDH_BUNDLE_")) throw error;
    return { level: "damaged", subject, message: error.message, code: error.code };
  }
}

function signalOption(options: VerifyOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

function ok(subject: string, message: string): Finding {
  return { level: "ok", subject, message };
}
