import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { CliContext } from "@cdh/core/cli";
import { DEBUG_FOLDER, debugFileKey } from "@cdh/core/debug-files/keys";
import { findStoredFile, unpackStoredFile } from "@cdh/core/debug-files/open-stored";
import { keptParts } from "@cdh/core/debug-files/opens-with";
import type { ObjectStore } from "@cdh/core/store/store";
import type { SymbolPlace } from "../debug/symbol-files.ts";
import type { KubeClient } from "../kube/client.ts";
import { apiPlace } from "./in-api.ts";
import { parseLocation } from "./location.ts";

/** Opens the store that a URL means. The caller closes what was opened. */
export type StoreOpener = (url: string) => Promise<ObjectStore>;

/** Folders above a bundle that may be a store's root: `prefix/namespace/N.zip`, and what routes put between. */
const ABOVE_MAX = 6;

/** A store's files by build-id. @param base as of `debugFileKey` */
function storePlace(store: ObjectStore, base: string, signal: AbortSignal): SymbolPlace {
  const url = `${store.url.replace(/\/$/, "")}/${base}`;
  return {
    url,
    parts: (buildId, asked) => keptParts(store, buildId, { base, signal: asked }),
    find: async (id) => {
      const found = await findStoredFile(store, id, { base, signal });
      return (
        found && {
          label: `${url}${debugFileKey(id)}`,
          version: found.version,
          write: async (path) => unpackStoredFile(await found.open(), path, signal),
        }
      );
    },
  };
}

/**
 * Find the places that may have a bundle's files: the stores given, the one that STORE_URL names, and the one that the bundle itself
 * lies in, or its cluster's API.
 * @param label the bundle's: a path or a URL
 * @throws {CdhError} CDH_CONFIG_INVALID, the CDH_STORE family
 */
export async function findSymbolPlaces(
  label: string,
  given: readonly string[],
  { env, stopSignal, clock }: Pick<CliContext, "env" | "stopSignal" | "clock">,
  { store: open, cluster }: { store: StoreOpener; cluster: () => Promise<KubeClient> },
): Promise<SymbolPlace[]> {
  const stores = new Set(given);
  const configured = env["STORE_URL"] ?? "";
  if (/^[a-z0-9]+:\/\//i.test(configured) && !configured.startsWith("kube:")) stores.add(configured);
  const places: SymbolPlace[] = [];
  for (const url of stores) places.push(storePlace(await open(storeUrlOf(url)), "", stopSignal));
  const location = parseLocation(label);
  if (location.kind === "path") {
    const root = await findRootAbove(location.path);
    if (root !== undefined) places.push(storePlace(await open(pathToFileURL(root).href), "", stopSignal));
  } else if (location.kind === "store") {
    const store = await open(location.bucketUrl);
    const base = await findBaseAbove(store, location.key, stopSignal);
    if (base !== undefined) places.push(storePlace(store, base, stopSignal));
  } else if (location.kind === "kube") places.push(apiPlace(await cluster(), { clock, signal: stopSignal }));
  return places;
}

/** Read what a person typed for a store: a URL, or a directory. */
export function storeUrlOf(text: string): string {
  return /^[a-z0-9]+:/i.test(text) ? text : pathToFileURL(resolve(text)).href;
}

async function findRootAbove(path: string): Promise<string | undefined> {
  let folder = dirname(resolve(path));
  for (let steps = 0; steps < ABOVE_MAX && folder !== dirname(folder); steps += 1, folder = dirname(folder)) {
    const stats = await stat(join(folder, DEBUG_FOLDER)).catch(() => undefined);
    if (stats?.isDirectory() === true) return folder;
  }
  return undefined;
}

async function findBaseAbove(store: ObjectStore, key: string, signal: AbortSignal): Promise<string | undefined> {
  const parts = key.split("/").slice(0, -1);
  for (let steps = 0; steps <= Math.min(parts.length, ABOVE_MAX); steps += 1) {
    const base = parts
      .slice(0, parts.length - steps)
      .map((part) => `${part}/`)
      .join("");
    for await (const { key: first } of store.list(`${base}${DEBUG_FOLDER}`, { signal })) {
      // A namespace may be called like the folder.
      if (/^[0-9a-f]+\/[a-z]+\.zst$/.test(first.slice(base.length + DEBUG_FOLDER.length))) return base;
      break;
    }
  }
  return undefined;
}
