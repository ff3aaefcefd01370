import { createHash, createHmac } from "node:crypto";

/** What a signed request needs to know about a server. */
export interface S3Account {
  /** `http://127.0.0.1:9000`, no path. */
  endpoint: string;
  region: string;
  accessKey: string;
  secretKey: string;
}

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Uint8Array, data: string): Buffer => createHmac("sha256", key).update(data).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/**
 * Send one S3 request, signed by hand: tests look at the store with other eyes than the program under test.
 * @param path decoded, starting with the bucket: `/bucket/some key`
 * @see AWS Signature Version 4
 */
export async function s3Request(
  account: S3Account,
  method: "GET" | "PUT" | "HEAD" | "DELETE" | "POST",
  path: string,
  options: {
    query?: Record<string, string>;
    headers?: Record<string, string>;
    body?: Uint8Array | string;
    now?: Date;
    /** Default `s3`; `sts` asks for temporary credentials. */
    service?: string;
  } = {},
): Promise<Response> {
  const url = new URL(account.endpoint);
  const timestamp = (options.now ?? new Date()).toISOString().replaceAll(/[-:]|\.\d{3}/g, "");
  const day = timestamp.slice(0, 8);
  const { service = "s3" } = options;
  const scope = `${day}/${account.region}/${service}/aws4_request`;
  const bodyHash = sha256(options.body ?? "");
  const headers: Record<string, string> = {
    ...Object.fromEntries(Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value])),
    host: url.host,
    "x-amz-content-sha256": bodyHash,
    "x-amz-date": timestamp,
  };
  const names = Object.keys(headers).sort();
  const canonicalPath = path.split("/").map(encode).join("/");
  const query = Object.entries(options.query ?? {})
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const canonical = [
    method,
    canonicalPath,
    query,
    ...names.map((name) => `${name}:${(headers[name] ?? "").trim()}`),
    "",
    names.join(";"),
    bodyHash,
  ].join("\n");
  const key = [service, "aws4_request"].reduce(
    (chain, part) => hmac(chain, part),
    hmac(hmac(`AWS4${account.secretKey}`, day), account.region),
  );
  const signature = hmac(key, ["AWS4-HMAC-SHA256", timestamp, scope, sha256(canonical)].join("\n")).toString("hex");
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${account.accessKey}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  delete headers["host"];
  return fetch(`${account.endpoint}${canonicalPath}${query === "" ? "" : `?${query}`}`, {
    method,
    headers,
    ...(options.body === undefined ? {} : { body: Buffer.from(options.body) }),
  });
}

/** List the keys of a bucket (all pages), each with its size in bytes. */
export async function listKeys(account: S3Account, bucket: string, prefix = ""): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let token: string | undefined;
  do {
    const query = { "list-type": "2", prefix, ...(token === undefined ? {} : { "continuation-token": token }) };
    const answer = await s3Request(account, "GET", `/${bucket}`, { query });
    const xml = await answer.text();
    if (!answer.ok) throw new Error(`listing ${bucket}: ${answer.status} ${xml}`);
    for (const [, item = ""] of xml.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
      found.set(textOf(item, "Key") ?? "", Number(textOf(item, "Size")));
    }
    token = textOf(xml, "NextContinuationToken");
  } while (token !== undefined);
  return found;
}

function textOf(xml: string, element: string): string | undefined {
  const escaped = new RegExp(`<${element}>(.*?)</${element}>`, "s").exec(xml)?.[1];
  return escaped
    ?.replaceAll(/&#(x?)([0-9a-f]+);/gi, (_, hex: string, digits: string) =>
      String.fromCodePoint(parseInt(digits, hex === "" ? 10 : 16)),
    )
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&");
}
