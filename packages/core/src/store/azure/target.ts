import { CdhError } from "../../base/errors.ts";
import type { StoreSettings } from "../settings.ts";

/** Say which container is meant and how to reach it. */
export interface AzureTarget {
  /** Absolute URL of the blob service, without a slash at its end: `https://account.blob.core.windows.net`. */
  serviceUrl: string;
  /** The storage account's name. */
  account: string;
  container: string;
  /** Without slashes at its ends; empty for none. */
  prefix: string;
}

/** What a connection string says, as far as it is used. */
export interface ConnectionString {
  account: string | undefined;
  key: string | undefined;
  sas: string | undefined;
  endpoint: string | undefined;
}

const ACCOUNT_NAME = /^[a-z0-9]{3,24}$/;
/** @see https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
const CONTAINER_NAME = /^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/;
const PUBLIC_SUFFIX = "core.windows.net";

/**
 * Work out the target from `azblob://container/prefix` and the AZURE_STORAGE_* settings.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function resolveAzureTarget(settings: StoreSettings): AzureTarget {
  const match = /^azblob:\/\/([^/]+)\/?(.*)$/s.exec(settings.storeUrl ?? "");
  const shown = JSON.stringify(settings.storeUrl);
  if (match === null) throw new CdhError("CDH_CONFIG_INVALID", `STORE_URL ${shown}: not azblob://container/prefix`);
  const [, container = "", path = ""] = match;
  if (!CONTAINER_NAME.test(container)) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `STORE_URL ${shown}: ${JSON.stringify(container)} is no container's name`,
      {
        hint: "3 to 63 lower-case letters, digits and single dashes; the account goes into AZURE_STORAGE_ACCOUNT",
      },
    );
  }
  const prefix = path.replaceAll(/\/{2,}/g, "/").replaceAll(/^\/|\/$/g, "");
  return { ...accountAndService(settings), container, prefix };
}

/** Take a connection string apart; `key=value` pairs between semicolons. */
export function parseConnectionString(text: string): ConnectionString {
  const pairs = new Map<string, string>();
  for (const pair of text.split(";")) {
    const at = pair.indexOf("=");
    if (at > 0) pairs.set(pair.slice(0, at).trim().toLowerCase(), pair.slice(at + 1).trim());
  }
  const account = pairs.get("accountname");
  const protocol = pairs.get("defaultendpointsprotocol") ?? "https";
  const suffix = pairs.get("endpointsuffix") ?? PUBLIC_SUFFIX;
  const endpoint =
    pairs.get("blobendpoint") ?? (account === undefined ? undefined : `${protocol}://${account}.blob.${suffix}`);
  return { account, key: pairs.get("accountkey"), sas: pairs.get("sharedaccesssignature"), endpoint };
}

function accountAndService(settings: StoreSettings): { account: string; serviceUrl: string } {
  const { azureConnectionString, azureEndpoint } = settings;
  const connection = azureConnectionString === undefined ? undefined : parseConnectionString(azureConnectionString);
  const endpoint = azureEndpoint ?? connection?.endpoint;
  const serviceUrl = endpoint === undefined ? undefined : endpointUrl(endpoint);
  const account =
    settings.azureAccount ?? connection?.account ?? (serviceUrl === undefined ? undefined : accountOf(serviceUrl));
  if (account === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "no storage account is configured", {
      hint: "set AZURE_STORAGE_ACCOUNT, or AZURE_STORAGE_CONNECTION_STRING",
    });
  }
  if (serviceUrl !== undefined) return { account, serviceUrl };
  if (!ACCOUNT_NAME.test(account)) {
    throw new CdhError("CDH_CONFIG_INVALID", `AZURE_STORAGE_ACCOUNT ${JSON.stringify(account)} is no account's name`, {
      hint: "3 to 24 lower-case letters and digits; another cloud's address goes into AZURE_STORAGE_ENDPOINT",
    });
  }
  return { account, serviceUrl: `https://${account}.blob.${PUBLIC_SUFFIX}` };
}

/** The account of `https://account.blob.core.windows.net`, or of `http://127.0.0.1:10000/account` as emulators have it. */
function accountOf(serviceUrl: string): string | undefined {
  const { hostname, pathname } = new URL(serviceUrl);
  const first = pathname.split("/")[1] ?? "";
  if (first !== "") return decodeURIComponent(first);
  const label = hostname.split(".")[0] ?? "";
  return ACCOUNT_NAME.test(label) && !/^\d+$/.test(label) ? label : undefined;
}

function endpointUrl(text: string): string {
  const withScheme = /^https?:\/\//i.test(text) ? text : `https://${text}`;
  if (!URL.canParse(withScheme))
    throw new CdhError("CDH_CONFIG_INVALID", `AZURE_STORAGE_ENDPOINT ${JSON.stringify(text)}: not an address`);
  const url = new URL(withScheme);
  if (url.username !== "" || url.password !== "" || url.search !== "") {
    throw new CdhError("CDH_CONFIG_INVALID", "AZURE_STORAGE_ENDPOINT holds credentials", {
      hint: "a shared access signature goes into AZURE_STORAGE_SAS_TOKEN",
    });
  }
  return withScheme.replace(/\/+$/, "");
}
