import { soon } from "@cdh/core/async/soon";
import { BundleFile, type BundleStart } from "@cdh/core/bundle/bundle-file";
import { DUMPABLE_AS_ROOT_ONLY } from "@cdh/core/bundle/dump-info";
import type { Problem } from "@cdh/core/bundle/manifest";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { giveUpSpooled } from "../binaries/spooled.ts";
import type { Work } from "../request.ts";
import type { Learning } from "../who/learn.ts";
import { nodeFacts, type NodeFacts } from "../who/node-facts.ts";
import { coreEntryName, nameBundle, needsIdentity } from "./bundle-names.ts";
import { describeForIbm } from "./describe.ts";
import { diskError, SpoolFile } from "./spool-file.ts";

/** A name that needs the pod waits no longer than this; the core waits in memory and in the pipe. */
const NAME_WAIT_MS = 1_000;

/** A bundle's file with its head written, and what the head holds. */
export interface OpenBundle {
  file: SpoolFile;
  /** What is written into the file. */
  bundle: BundleFile;
  name: string;
  node: NodeFacts;
  problems: Problem[];
}

/** What opening needs. */
type Given = Pick<
  Work,
  "crashId" | "crash" | "crashedAtMs" | "settings" | "coreDir" | "roots" | "clock" | "native" | "log" | "limit" | "ends"
>;

/**
 * Create the file under its name, once the name can be known, and write its head.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
 */
export async function openBundle(given: Given, learning: Pick<Learning, "identity">): Promise<OpenBundle> {
  const { crashId, crash, crashedAtMs, settings, coreDir, clock, native, limit } = given;
  const node = await nodeFacts(given.roots, settings.nodeName);
  const identity = needsIdentity(settings.filenameTemplate)
    ? await soon(learning.identity, NAME_WAIT_MS, clock)
    : undefined;
  const facts = { crashId, crash, coreDir, nodeName: node.nodeName, crashedAtMs };
  const { name, problem } = nameBundle(settings.filenameTemplate, { ...facts, identity });
  const core = coreEntry(name, settings);
  const dumpInfo = describeForIbm({ ...facts, name, coreEntry: core.name });
  const openFile = async (): Promise<Pick<OpenBundle, "file" | "bundle">> => {
    const file = await limit.watch(SpoolFile.create(coreDir, name, clock, native, limit));
    return { file, bundle: await begin(file, { mtime: new Date(crashedAtMs), dumpInfo, core }) };
  };
  const { file, bundle } = await openFile().catch((error: unknown) => {
    // A bundle comes before the files of programs that wait to be sent.
    const isFull = error instanceof CdhError && error.code === "CDH_SPOOL_FULL";
    if (isFull && giveUpSpooled(coreDir)) return openFile();
    throw error;
  });
  await shareBundle(given, file);
  const problems = problem === undefined ? [] : [{ step: "name", code: "CDH_CONFIG_INVALID", detail: problem }];
  return { file, bundle, name, node, problems };
}

/** A file that can't take even the head is removed. */
async function begin(file: SpoolFile, start: BundleStart): Promise<BundleFile> {
  try {
    return await BundleFile.begin(file, start);
  } catch (error) {
    await file.remove();
    throw diskError(`cannot begin ${file.path}`, error);
  }
}

/** A crash that only administrators may read is shared with nobody. A group that cannot be given is told, and costs no core. */
async function shareBundle({ settings, crash, log }: Given, file: SpoolFile): Promise<void> {
  if (settings.spoolGroup === undefined || crash.dumpMode === DUMPABLE_AS_ROOT_ONLY) return;
  await file.shareWith(settings.spoolGroup).catch((error: unknown) => {
    log.warn("bundle not shared with SPOOL_GROUP", { path: file.path, reason: reasonOf(error) });
  });
}

function coreEntry(name: string, { compression }: ComposerSettings): BundleStart["core"] {
  return { name: coreEntryName(name, compression), method: compression === "deflate" ? "deflate" : "stored" };
}
