import { createHash } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import type { PresignOptions } from "../store.ts";
import type { GcsBucket } from "./bucket.ts";
import type { GcsTokens } from "./tokens.ts";

/** The service takes signatures of a week at most. */
const LIFETIME_MAX_SECONDS = 7 * 24 * 3600;

/**
 * Make URLs that read one object for a while, by Google's V4 signature: with the key of a key file, else by the IAM service
 * (`signBlob`), which signs for an identity that may make tokens of itself.
 * @see https://cloud.google.com/storage/docs/access-control/signing-urls-manually
 * @throws {CdhError} CDH_STORE_DENIED when nothing can sign
 */
export async function presignGet(
  tokens: GcsTokens,
  bucket: GcsBucket,
  clock: Clock,
  key: string,
  { lifetimeSeconds, fileName }: PresignOptions,
): Promise<string> {
  if (lifetimeSeconds > LIFETIME_MAX_SECONDS)
    throw new CdhError(
      "CDH_STORE_REFUSED",
      "cannot sign a link: Google Cloud Storage takes signatures of a week at most",
    );
  const { host, origin } = new URL(bucket.target.serviceUrl);
  const path = `/${[bucket.target.bucket, ...bucket.nameOf(key).split("/")].map(encode).join("/")}`;
  return await bucket.requests.send(
    async () => {
      const { client_email: signer } = await tokens.use((auth) => auth.getCredentials());
      if (signer === undefined) throw new Error("the credentials have no client_email to sign for");
      const date = new Date(clock.now()).toISOString().replaceAll(/[-:]|\.\d+/g, "");
      const scope = `${date.slice(0, 8)}/auto/storage/goog4_request`;
      const query = canonicalQuery({
        "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
        "X-Goog-Credential": `${signer}/${scope}`,
        "X-Goog-Date": date,
        "X-Goog-Expires": String(lifetimeSeconds),
        "X-Goog-SignedHeaders": "host",
        "response-content-disposition": `attachment; filename="${fileName.replaceAll(/[^\w.-]/g, "_")}"`,
        "response-content-type": "application/zip",
      });
      const canonical = ["GET", path, query, `host:${host}`, "", "host", "UNSIGNED-PAYLOAD"].join("\n");
      const digest = createHash("sha256").update(canonical).digest("hex");
      const signature = await tokens.use((auth) => auth.sign(["GOOG4-RSA-SHA256", date, scope, digest].join("\n")));
      return `${origin}${path}?${query}&X-Goog-Signature=${Buffer.from(signature, "base64").toString("hex")}`;
    },
    { what: `sign a link to ${key}` },
  );
}

function canonicalQuery(parameters: Record<string, string>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted()
    .join("&");
}

/** Encode as RFC 3986 has it: what `encodeURIComponent` leaves alone beyond it, too. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
