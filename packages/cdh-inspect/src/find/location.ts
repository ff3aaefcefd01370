import { fileURLToPath } from "node:url";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { isBucketScheme } from "@cdh/core/store/schemes";

/** Where bundles are: on this machine, below a prefix of a bucket, or behind a cluster's cdh-api. */
export type Location =
  | { kind: "path"; path: string }
  | { kind: "store"; bucketUrl: string; key: string }
  | { kind: "kube"; namespace?: string; name: string };

/**
 * Read what a person typed for a bundle or a place that holds some: a path, `file:///…`, `s3://bucket/key`,
 * `azblob://container/key` or `kube://namespace/name`.
 * @throws {CdhError} CDH_CONFIG_INVALID for another scheme or a URL that cannot be
 */
export function parseLocation(text: string): Location {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: "path", path: text };
  if (scheme === "file") {
    try {
      return { kind: "path", path: fileURLToPath(text) };
    } catch (error) {
      throw new CdhError("CDH_CONFIG_INVALID", `not a file URL: ${text}: ${reasonOf(error)}`, {
        hint: "file:///absolute/path",
      });
    }
  }
  if (isBucketScheme(scheme)) {
    const rest = text.slice(`${scheme}://`.length);
    const slash = rest.indexOf("/");
    const bucket = slash === -1 ? rest : rest.slice(0, slash);
    const key = slash === -1 ? "" : rest.slice(slash + 1);
    if (bucket === "")
      throw new CdhError("CDH_CONFIG_INVALID", `no bucket in ${text}`, { hint: `${scheme}://bucket/prefix` });
    return { kind: "store", bucketUrl: `${scheme}://${bucket}`, key };
  }
  if (scheme === "kube") {
    const [namespace = "", name = "", ...more] = text.slice("kube://".length).replace(/\/$/, "").split("/");
    // A URL resolves dots away, encoded or not: they would name another path.
    if (more.length > 0 || [namespace, name].some((part) => /^\.{1,2}$/.test(part)))
      throw new CdhError("CDH_CONFIG_INVALID", `cannot read from ${text}`, { hint: "kube://namespace/name" });
    return { kind: "kube", ...(namespace === "" ? {} : { namespace }), name };
  }
  throw new CdhError("CDH_CONFIG_INVALID", `cannot read from ${text}`, {
    hint: "a path, file:///…, s3://…, gs://…, azblob://… or kube://namespace/…",
  });
}
