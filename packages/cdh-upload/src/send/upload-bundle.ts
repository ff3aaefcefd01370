import { lstat, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { UPLOADED_DIRECTORY } from "@cdh/core/spool/layout";
import { makeOwnDirectory } from "@cdh/core/spool/spool-owner";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore, PutResult } from "@cdh/core/store/store";
import { HOST_NAMESPACE, metadataOf, readBundleFacts, type BundleFacts } from "../queue/bundle-facts.ts";
import type { SpoolFile } from "../queue/spool-scan.ts";
import type { KeyTemplate, KeyVariables } from "./object-key.ts";
import type { PodCompleter } from "./pod-facts.ts";

/** What an upload needs. */
export interface UploadOptions {
  store: ObjectStore;
  keyTemplate: KeyTemplate;
  keepUploaded: boolean;
  nodeName?: string | undefined;
  clusterName?: string | undefined;
  /** Where servers that show the store are told of it; absent: they find it at their next listing. */
  board?: NoticeBoard | undefined;
  /** Asks the cluster for what the node did not know of the pod; absent: nobody is asked. */
  completePod?: PodCompleter | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((sentBytes: number) => void) | undefined;
}

/** What became of a bundle. */
export interface UploadedBundle {
  facts: BundleFacts;
  put: PutResult;
  /** `s3://bucket/prefix/key` or `file:///…`. */
  location: string;
}

/**
 * Move one bundle to the store: send and verify it, then its manifest as the mark that it is complete, and only then let
 * go of the local file. Each step can be repeated after a crash at any point.
 * @param known what was read of this very file before
 */
export async function uploadBundle(
  file: SpoolFile,
  known: BundleFacts | undefined,
  options: UploadOptions,
): Promise<UploadedBundle> {
  const { store } = options;
  const read = known ?? (await readBundleFacts(file.path, file.name));
  const facts = (await options.completePod?.(read)) ?? read;
  const { bundleKey, manifestKey, stem } = options.keyTemplate.render(keyVariables(file, facts, options));
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const put = await store.putFile(
    bundleKey,
    { path: file.path, sizeBytes: file.sizeBytes },
    {
      ...signal,
      contentType: "application/zip",
      metadata: metadataOf(facts),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    },
  );
  // Before the manifest: whoever sees that can see the notice too.
  await options.board?.post({ kind: "added", stem }, options.signal);
  await putManifest(store, manifestKey, facts, signal);
  if (put.alreadyThere) await mustBeThere(store, bundleKey, file, options.signal);
  await release(file, options.keepUploaded);
  return { facts, put, location: `${store.url}/${bundleKey}` };
}

async function putManifest(
  store: ObjectStore,
  key: string,
  facts: BundleFacts,
  signal: { signal?: AbortSignal },
): Promise<void> {
  const metadata = { "cdh-crash-id": facts.manifest.crashId };
  try {
    await store.putBytes(key, facts.manifestBody, { ...signal, contentType: "application/json", metadata });
  } catch (error) {
    // The bundle beside it is the very one, so this is its manifest as another version of this program wrote it.
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_CONFLICT") throw error;
  }
}

/**
 * Look once more at what an earlier attempt had stored. Until its manifest was there it was an orphan, which retention may
 * remove at any moment; from then on it may not.
 */
async function mustBeThere(
  store: ObjectStore,
  key: string,
  file: SpoolFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ((await store.head(key, signal))?.sizeBytes === file.sizeBytes) return;
  throw new CdhError("CDH_STORE_MISMATCH", `${key} lay in ${store.url} and is gone: it will be sent again`);
}

/** Let go of a bundle that is safe in the store. What changed since it was sent is another bundle, and stays. */
async function release(file: SpoolFile, keep: boolean): Promise<void> {
  try {
    const now = await lstat(file.path);
    if (!now.isFile() || now.size !== file.sizeBytes || now.mtimeMs !== file.modifiedAt) {
      throw new CdhError("CDH_STORE_MISMATCH", `${file.path} changed while it was sent, and stays in the spool`);
    }
    if (keep) {
      const directory = join(dirname(file.path), UPLOADED_DIRECTORY);
      await makeOwnDirectory(directory);
      await rename(file.path, join(directory, file.fileName));
    } else {
      await rm(file.path);
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    if (error instanceof CdhError) throw error;
    throw new CdhError("CDH_DISK", `cannot take the uploaded ${file.path} out of the spool: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function keyVariables(file: SpoolFile, facts: BundleFacts, options: UploadOptions): KeyVariables {
  const { manifest, namespace } = facts;
  const crashedAt = /^\d{4}-\d{2}-\d{2}/.exec(manifest.crashedAt)?.[0];
  return {
    namespace,
    name: file.name,
    node: manifest.node.nodeName ?? options.nodeName ?? "unknown",
    cluster: manifest.node.clusterName ?? options.clusterName ?? "unknown",
    pod: manifest.pod?.name ?? HOST_NAMESPACE,
    signal: manifest.signal.name === "" ? "unknown" : manifest.signal.name,
    date: crashedAt ?? "unknown",
  };
}
