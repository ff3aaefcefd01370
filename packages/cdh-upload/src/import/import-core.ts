import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { compact } from "@cdh/core/base/records";
import { formatDumpInfo } from "@cdh/core/bundle/dump-info";
import type { Manifest, Problem } from "@cdh/core/bundle/manifest";
import { DEFAULT_FILENAME_TEMPLATE, renderName } from "@cdh/core/bundle/naming";
import { findAbortMessageInCore } from "@cdh/core/crash/abort-message";
import type { CrashMessage } from "@cdh/core/crash/crash-message";
import { manifestOf } from "@cdh/core/crash/manifest-of";
import { stackNotRead } from "@cdh/core/crash/stack-not-read";
import { MANIFEST_ELF_LIMITS, type CoreFacts } from "@cdh/core/elf/facts";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import { openRegularFile } from "@cdh/core/files/regular-file";
import { decodeCore } from "@cdh/core/foreign/core-encoding";
import type { CoreNameFacts } from "@cdh/core/foreign/core-name";
import type { CoreAttributes } from "./core-attributes.ts";
import type { CoreOwner } from "./core-owner.ts";
import { detectEncoding, readFile } from "./core-stream.ts";
import { writeBundle } from "./write-bundle.ts";

/** A core file of somebody else's, and what is known about it besides its content. */
export interface ForeignCore {
  path: string;
  fileName: string;
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
  named: CoreNameFacts;
  attributes: CoreAttributes;
  /** The file's owner, where the kernel made it: root for a process that its user might not read. */
  kernelOwner?: number | undefined;
  /** Whose crash it is, where somebody knows. */
  owner?: CoreOwner | undefined;
  /** It is known not to decompress: it is taken as it is. */
  undecodable?: boolean;
}

/** What the importer knows about this node. */
export interface ImportContext {
  coreDir: string;
  nodeName: string | undefined;
  clusterName: string | undefined;
  version: string;
  /** Whether manifests say what programs said of their end. */
  message: boolean;
  signal?: AbortSignal | undefined;
}

/** A core that its writer may still be at: nothing was published. */
export class UnfinishedCore extends Error {
  override readonly name = "UnfinishedCore";
}

/** What an import did. */
export interface ImportedCore {
  name: string;
  /** False when an earlier run had published it already. */
  published: boolean;
}

/**
 * Make a bundle of a core file and publish it in the spool. Crash id and name follow from the file, so that doing it
 * twice makes one bundle. The manifest comes from the core's own notes, else from the attributes, else from the name.
 * @param acceptCut take a core too that lacks some of what its headers promise
 * @throws {UnfinishedCore} when it lacks some and that is not accepted
 */
export async function importCore(core: ForeignCore, context: ImportContext, acceptCut: boolean): Promise<ImportedCore> {
  const handle = await openRegularFile(core.path);
  try {
    const facts = factsOf(core);
    const crashId = crashIdOf(core);
    const { name } = renderName(DEFAULT_FILENAME_TEMPLATE, {
      ...NO_VARIABLES,
      uuid: crashId,
      timestamp: String(Math.floor(facts.crashedAt / 1000)),
      hostname: facts.hostname ?? context.nodeName ?? "",
      exe_name: facts.comm ?? "",
      pid: facts.pid === undefined ? "" : String(facts.pid),
      signal: facts.signal === undefined ? "" : String(facts.signal),
    });
    const encoding = await detectEncoding(handle);
    const isOpaque = core.undecodable === true || encoding === "xz";
    const decoded = isOpaque ? undefined : decodeCore(encoding, readFile(handle), core.path);
    const scanner = new ElfCoreScanner(MANIFEST_ELF_LIMITS);
    const problems: Problem[] = [];
    if (decoded === undefined) {
      const why = core.undecodable === true ? "and breaks off or is damaged" : "which this program cannot read";
      const detail = `the core is compressed with ${encoding}, ${why}: decompress the entry before a debugger sees it`;
      problems.push({ step: "import", code: "CDH_CORE_COMPRESSED", detail });
    }
    const entry =
      decoded === undefined
        ? ({ name: `${name}.core`, compression: "none" } as const)
        : ({ name: `${name}.core.zst`, compression: "zstd" } as const);
    const published = await writeBundle(context.coreDir, {
      name,
      entry,
      mtime: new Date(facts.crashedAt),
      dumpInfo: dumpInfoOf(name, crashId, facts, context),
      core: decoded ?? readFile(handle),
      observe: (chunk) => scanner.push(chunk),
      signal: context.signal,
      describe: async (summary) => {
        const found = scanner.finish();
        if (!found.complete && !acceptCut) throw new UnfinishedCore(`${core.path} is not whole yet`);
        // The kernel gives a core to the process's own user, unless that user might not read the process (dump mode 2).
        const uid = found.process?.uid;
        const restricted = core.kernelOwner === 0 && uid !== undefined && uid !== 0;
        if (found.threads.length > 0) problems.push(stackNotRead("the core was imported"));
        const message =
          context.message && encoding === "plain"
            ? await findAbortMessageInCore(found, facts.signal ?? found.signal?.number, readerOf(handle))
            : undefined;
        return describe({
          message,
          facts,
          crashId,
          name,
          entry,
          summary,
          found,
          problems,
          owner: core.owner,
          restricted,
          context,
        });
      },
    });
    return { name, published };
  } finally {
    await handle.close();
  }
}

interface KnownFacts extends CoreNameFacts {
  crashedAt: number;
  exe?: string | undefined;
  gid?: number | undefined;
  rlimitCoreBytes?: number | undefined;
}

/** Attributes are the kernel's words as systemd kept them; the name says less; the file's time is the last resort. */
function factsOf({ named, attributes, modifiedAt }: ForeignCore): KnownFacts {
  const seconds = numberOf(attributes.timestamp);
  const pick = <T>(first: T | undefined, second: T | undefined): T | undefined => first ?? second;
  const facts: Record<string, unknown> = {
    comm: pick(attributes.comm, named.comm),
    uid: pick(numberOf(attributes.uid), named.uid),
    gid: numberOf(attributes.gid),
    pid: pick(numberOf(attributes.pid), named.pid),
    signal: pick(numberOf(attributes.signal), named.signal),
    bootId: named.bootId,
    hostname: pick(attributes.hostname, named.hostname),
    exe: attributes.exe,
    rlimitCoreBytes: numberOf(attributes.rlimit),
    // systemd writes microseconds.
    crashedAt:
      named.crashedAt ?? (seconds === undefined ? modifiedAt : seconds > 1e14 ? seconds / 1000 : seconds * 1000),
  };
  return compact(facts) as unknown as KnownFacts;
}

/** Reads a core that is a file, as it is. */
function readerOf(handle: FileHandle): (offset: number, length: number) => Promise<Buffer> {
  return async (offset, length) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
}

function describe(given: {
  message: CrashMessage | undefined;
  facts: KnownFacts;
  crashId: string;
  name: string;
  entry: { name: string; compression: "none" | "zstd" };
  summary: { sizeBytes: number; storedBytes: number; sha256?: string };
  found: CoreFacts;
  problems: Problem[];
  owner: CoreOwner | undefined;
  restricted: boolean;
  context: ImportContext;
}): Manifest {
  const { facts, summary, context, found, owner, entry } = given;
  const { comm, pid, uid, gid, exe, hostname, rlimitCoreBytes, bootId } = facts;
  return manifestOf(
    {
      crashId: given.crashId,
      bundle: `${given.name}.zip`,
      crashedAtMs: facts.crashedAt,
      composer: { version: `cdh-upload ${context.version}` },
      node: { nodeName: context.nodeName, clusterName: context.clusterName, bootId },
      process: {
        pid,
        uid,
        gid,
        comm,
        exe,
        hostname,
        // The kernel writes "no limit" as the largest number.
        rlimitCoreBytes: Number.isSafeInteger(rlimitCoreBytes) ? rlimitCoreBytes : undefined,
      },
      signal: facts.signal,
      message: given.message,
      core: { ...summary, entry: entry.name, compression: entry.compression, isOpaque: !found.isCore },
      container: owner?.container,
      pod: owner?.pod,
      identity: owner?.identity ?? { source: "none", verified: false },
      restricted: given.restricted,
      problems: [...given.problems, ...(owner?.problems ?? [])],
    },
    found,
  );
}

function dumpInfoOf(name: string, crashId: string, facts: KnownFacts, context: ImportContext) {
  const text = formatDumpInfo({
    uuid: crashId,
    dump_file: `${name}.core.zst`,
    timestamp: String(Math.floor(facts.crashedAt / 1000)),
    hostname: facts.hostname ?? "",
    exe: facts.comm ?? "",
    real_pid: facts.pid === undefined ? "" : String(facts.pid),
    signal: facts.signal === undefined ? "" : String(facts.signal),
    node_hostname: context.nodeName ?? "",
    path: facts.exe ?? "",
  });
  return { name: `${name}-dump-info.json`, bytes: Buffer.from(text) };
}

/** Make an id from what tells this file from every other: a UUID of version 8, whose bits are free. @see RFC 9562, 5.8 */
function crashIdOf({ fileName, sizeBytes, modifiedAt }: ForeignCore): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([fileName, sizeBytes, modifiedAt]))
    .digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,20}$/.test(text) ? Number(text) : undefined;
}

const NO_VARIABLES = {
  uuid: "",
  limit_size: "",
  exe_name: "",
  pid: "",
  signal: "",
  timestamp: "",
  directory: "",
  hostname: "",
  pathname: "",
  namespace: "",
  podname: "",
  node: "",
  container: "",
  exe_build_id: "",
  date: "",
};
