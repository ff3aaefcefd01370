import { afterAll, describe } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { describeStoreContract } from "@cdh/core/testing/store-contract";
import { startAzurite, type Azurite } from "../helpers/azurite.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";

const servers: Azurite[] = [];

afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

/** Open a store with a prefix on a fresh emulator, as a program would from its environment. */
async function openOn(more: (server: Azurite) => Record<string, string>) {
  const server = await startAzurite();
  servers.push(server);
  const env = { ...server.env, STORE_URL: `azblob://${server.container}/clusters/one`, ...more(server) };
  const settings = resolveSettingsStrictly(storeSettings, { env });
  return await openStore(settings.values, { clock: systemClock, env: {} });
}

describeUnless(findTool("azurite").reason, "AzureStore", () => {
  describe("on azurite", () => {
    describeStoreContract("AzureStore with the account's key", () => openOn(() => ({})));
    describeStoreContract("AzureStore with a connection string", () =>
      openOn(({ account, key, endpoint }) => ({
        AZURE_STORAGE_KEY: "",
        AZURE_STORAGE_ACCOUNT: "",
        AZURE_STORAGE_ENDPOINT: "",
        AZURE_STORAGE_CONNECTION_STRING: `AccountName=${account};AccountKey=${key};BlobEndpoint=${endpoint};`,
      })),
    );
  });
});
