import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { CdhError } from "@cdh/core/errors";

/** A secret's files, and the settings that they hold. The names are those of the keys in the chart's Secret. */
const FILES = {
  s3AccessKey: "S3_ACCESS_KEY",
  s3Secret: "S3_SECRET",
  s3SessionToken: "S3_SESSION_TOKEN",
  azureStorageKey: "AZURE_STORAGE_KEY",
  azureStorageSasToken: "AZURE_STORAGE_SAS_TOKEN",
  azureStorageConnectionString: "AZURE_STORAGE_CONNECTION_STRING",
  azureCustomerProvidedKey: "AZURE_CUSTOMER_PROVIDED_KEY",
} as const;
const GOOGLE_FILE = "credentials.json";
const CA_FILE = "ca.crt";

/** One of these sets must be there, by the scheme of the store. */
const NEEDED: Readonly<Record<string, readonly (readonly string[])[]>> = {
  s3: [["s3AccessKey", "s3Secret"]],
  azblob: [["azureStorageKey"], ["azureStorageSasToken"], ["azureStorageConnectionString"]],
  gs: [[GOOGLE_FILE]],
};

/** What a secret's directory held. */
export interface SecretFiles {
  /** Texts of settings, by environment name. */
  env: Record<string, string>;
  googleKeyFile: string | undefined;
  /** Differs when anything in it does. */
  fingerprint: string;
}

/**
 * Read a secret's directory, as a whole: the kubelet replaces all files of a mounted Secret in one step, which the link
 * `..data` shows.
 * @throws {CdhError} CDH_STORE_DENIED when the credentials are not there: that is this store's trouble, nobody else's
 */
export async function readSecretFiles(directory: string, scheme: string): Promise<SecretFiles> {
  const at = await realpath(join(directory, "..data")).catch(() => directory);
  const found = new Map<string, string>();
  const names = [...Object.keys(FILES), GOOGLE_FILE, CA_FILE];
  await Promise.all(
    names.map(async (name) => {
      const text = (await readFile(join(at, name), "utf8").catch(() => "")).trim();
      if (text !== "") found.set(name, text);
    }),
  );
  const sets = NEEDED[scheme] ?? [];
  if (!sets.some((names_) => names_.every((name) => found.has(name)))) {
    throw new CdhError("CDH_STORE_DENIED", `there are no credentials in ${directory}`, {
      hint: `put ${sets.map((names_) => names_.join(" and ")).join(", or ")} into the secret that is mounted there`,
    });
  }
  const env: Record<string, string> = {};
  for (const [name, setting] of Object.entries(FILES)) {
    const text = found.get(name);
    if (text !== undefined) env[setting] = text;
  }
  if (found.has(CA_FILE)) env["S3_CA_BUNDLE"] = join(at, CA_FILE);
  const ordered = names.map((name) => [name, found.get(name)]);
  return {
    env,
    googleKeyFile: found.has(GOOGLE_FILE) ? join(directory, GOOGLE_FILE) : undefined,
    fingerprint: createHash("sha256").update(JSON.stringify(ordered)).digest("hex"),
  };
}
