import { layOutBundle, type CoreLayout, type SmallEntry } from "@cdh/core/bundle/writer";
import { coreEntryName, nameBundle, needsIdentity, type NameFacts } from "./bundle-names.ts";
import type { Collection } from "./collect.ts";
import { describeForIbm } from "./describe.ts";
import type { ComposeRequest } from "./request.ts";
import type { ComposerSettings } from "./settings.ts";
import { SpoolFile } from "./spool-file.ts";

/** A name that needs the pod waits no longer than this; the core waits in memory and in the pipe. */
const NAME_WAIT_MS = 1_000;

/** A bundle's file with its head written, and what the head holds. */
export interface OpenBundle {
  file: SpoolFile;
  name: string;
  nameProblem: string | undefined;
  /** Name and zip method of the core's entry. */
  core: Pick<CoreLayout, "name" | "method">;
  dumpInfo: SmallEntry;
  mtime: Date;
}

/** Create the file under its name, once the name can be known, and write its head. */
export async function openBundleFile(
  request: ComposeRequest,
  facts: NameFacts,
  collection: Collection,
): Promise<OpenBundle> {
  const { settings, coreDir, clock } = request;
  const identity = needsIdentity(settings.filenameTemplate)
    ? await Promise.race([collection.identity, clock.sleep(NAME_WAIT_MS).then(() => undefined)])
    : undefined;
  const { name, problem } = nameBundle(settings.filenameTemplate, { ...facts, identity });
  const dumpInfo = describeForIbm({ ...facts, name });
  const mtime = new Date(facts.crashedAtMs);
  const core = coreEntry(name, settings);
  const { head } = await layOutBundle(mtime, dumpInfo, { ...core, crc32: 0, storedBytes: 0, sizeBytes: 0 }, []);
  const file = await SpoolFile.create(coreDir, name, clock, request.native);
  await file.writeHead(head);
  return { file, name, nameProblem: problem, core, dumpInfo, mtime };
}

function coreEntry(name: string, { compression }: ComposerSettings): Pick<CoreLayout, "name" | "method"> {
  return { name: coreEntryName(name, compression), method: compression === "deflate" ? "deflate" : "stored" };
}
