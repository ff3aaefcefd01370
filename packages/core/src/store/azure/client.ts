import { DefaultAzureCredential, type DefaultAzureCredentialOptions } from "@azure/identity";
import {
  AnonymousCredential,
  BlobServiceClient,
  newPipeline,
  StorageSharedKeyCredential,
  type StoragePipelineOptions,
} from "@azure/storage-blob";
import { CdhError } from "../../base/errors.ts";
import type { Agents } from "../agents.ts";
import type { StoreSettings } from "../settings.ts";
import { boundAnswers, type PipelinePolicy } from "./answers.ts";
import { parseConnectionString, type AzureTarget } from "./target.ts";

/** The library's client, and what links are signed with. */
export interface AzureClient {
  service: BlobServiceClient;
  /** The account's key; absent with a token, which signs by a user-delegation key, and with a signature, which signs nothing. */
  key: StorageSharedKeyCredential | undefined;
  /** Whether requests carry a token of Entra ID. */
  hasToken: boolean;
}

/**
 * Make the library's client. It tries nothing twice on its own and follows no redirect: the store does, where it can
 * send a block again from the file.
 *
 * Credentials, the first that is there: AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, else a
 * token by the library's default chain: workload identity, client secret or certificate, managed identity, `az login`.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function createAzureClient(
  target: AzureTarget,
  settings: StoreSettings,
  { agents, env }: { agents: Agents; env: Readonly<Record<string, string | undefined>> },
): AzureClient {
  const given = explicitCredential(settings);
  const options = pipelineOptions(target, agents);
  if (given.key !== undefined) {
    const key = sharedKey(target.account, given.key);
    return { service: createService(target.serviceUrl, key, options), key, hasToken: false };
  }
  if (given.sas !== undefined) {
    const url = `${target.serviceUrl}?${given.sas.replace(/^\?/, "")}`;
    return { service: createService(url, new AnonymousCredential(), options), key: undefined, hasToken: false };
  }
  const credential = new DefaultAzureCredential({
    ...tokenOptions(agents),
    // Its own authority vouches for itself: nobody has to ask the public cloud whether it exists.
    disableInstanceDiscovery: env["AZURE_AUTHORITY_HOST"] !== undefined,
  });
  return { service: createService(target.serviceUrl, credential, options), key: undefined, hasToken: true };
}

/** Make the library's client with our step nearest to the connection: it has no setting that adds one. */
function createService(
  url: string,
  credential: Parameters<typeof newPipeline>[0],
  options: StoragePipelineOptions,
): BlobServiceClient {
  const pipeline = newPipeline(credential, options);
  const service = new BlobServiceClient(url, pipeline);
  const { _corePipeline: steps } = pipeline as unknown as {
    _corePipeline: { addPolicy(policy: PipelinePolicy, where: { afterPhase: "Sign" }): void };
  };
  steps.addPolicy(boundAnswers, { afterPhase: "Sign" });
  return service;
}

function explicitCredential(settings: StoreSettings): { key: string | undefined; sas: string | undefined } {
  const { azureConnectionString: text, azureKey, azureSasToken } = settings;
  const connection = text === undefined ? undefined : parseConnectionString(text);
  if (connection !== undefined && connection.key === undefined && connection.sas === undefined) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      "AZURE_STORAGE_CONNECTION_STRING holds neither AccountKey nor SharedAccessSignature",
    );
  }
  const names = [
    ...(text === undefined ? [] : ["AZURE_STORAGE_CONNECTION_STRING"]),
    ...(azureKey === undefined ? [] : ["AZURE_STORAGE_KEY"]),
    ...(azureSasToken === undefined ? [] : ["AZURE_STORAGE_SAS_TOKEN"]),
  ];
  if (names.length > 1) {
    throw new CdhError("CDH_CONFIG_INVALID", `${names.join(" and ")} are set`, {
      hint: "set one of them, or none for workload identity, managed identity or a client secret",
    });
  }
  return {
    key: connection?.key ?? azureKey,
    sas: connection?.key === undefined ? (connection?.sas ?? azureSasToken) : undefined,
  };
}

function sharedKey(account: string, key: string): StorageSharedKeyCredential {
  if (!/^[A-Za-z0-9+/]{20,}={0,2}$/.test(key))
    throw new CdhError("CDH_CONFIG_INVALID", "the account's key is not base64");
  return new StorageSharedKeyCredential(account, key);
}

/** What the library is told about requests: our connections, and nothing sent twice, neither by itself nor by a redirect. */
function pipelineOptions({ serviceUrl }: AzureTarget, { http, https }: Agents): StoragePipelineOptions {
  const options = {
    retryOptions: { maxTries: 1 },
    redirectOptions: { maxRetries: 0 },
    agent: serviceUrl.startsWith("https:") ? https : http,
  };
  // The library takes what its pipeline takes, and names only a part of it.
  return options as StoragePipelineOptions;
}

/** Get tokens through our connections: the identity provider's by https, the node's metadata service by http. */
function tokenOptions({ http, https }: Agents): DefaultAzureCredentialOptions {
  const connect: PipelinePolicy = {
    name: "cdhAgentPolicy",
    sendRequest: (request, next) => {
      request.agent = request.url.startsWith("https:") ? https : http;
      return boundAnswers.sendRequest(request, next);
    },
  };
  return { additionalPolicies: [{ policy: connect, position: "perRetry" }] };
}
