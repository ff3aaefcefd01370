import { afterAll } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { describeStoreContract } from "@cdh/core/testing/store-contract";
import { startFakeGcs, type FakeGcs } from "../helpers/fake-gcs.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";

const servers: FakeGcs[] = [];

afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

describeUnless(findTool("fake-gcs-server").reason, "GcsStore on fake-gcs-server", () => {
  describeStoreContract("GcsStore", async () => {
    const server = await startFakeGcs();
    servers.push(server);
    const env = { ...server.env, STORE_URL: `gs://${server.bucket}/clusters/one` };
    const settings = resolveSettingsStrictly(storeSettings, { env });
    return await openStore(settings.values, { clock: systemClock, env });
  });
});
