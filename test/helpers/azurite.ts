import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { freePort } from "./free-port.ts";
import { startTied, type TiedChild } from "./tied-child.ts";
import { findTool } from "./tools.ts";

/** Azure's emulator of Blob Storage on loopback, with one account and one container. */
export interface Azurite extends AsyncDisposable {
  readonly account: string;
  readonly key: string;
  readonly endpoint: string;
  readonly container: string;
  /** Environment for `cdh-upload` and `cdh-inspect`. */
  readonly env: Record<string, string>;
  /** What it printed last. */
  log(): string;
  /** End it, keep its data. SIGTERM unless `KILL`. */
  stop(signal?: "TERM" | "KILL"): Promise<void>;
  /** Start it again on the same port with the same data. */
  start(): Promise<void>;
}

/** Say how it is started. */
export interface AzuriteOptions {
  container?: string;
  /** Certificate and key files: then it speaks https and takes tokens of Entra ID. */
  tls?: { certificate: string; key: string };
}

const ACCOUNT = "cdhtest";
const KEY = Buffer.alloc(64, "cdh").toString("base64");

/** Start the emulator. It ends with this process. @throws {Error} when it is not there or does not start */
export async function startAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  const tool = findTool("azurite");
  if (tool.path === undefined) throw new Error(tool.reason);
  const program = join(tool.path, "node_modules/azurite/dist/src/blob/main.js");
  const container = options.container ?? "cores";
  const port = await freePort();
  const base = mkdtempSync(join(tmpdir(), "cdh-azurite-"));
  mkdirSync(join(base, "data"));
  const { tls } = options;
  const scheme = tls === undefined ? "http" : "https";
  const endpoint = `${scheme}://127.0.0.1:${port}/${ACCOUNT}`;
  const flags = [
    `--blobHost=127.0.0.1`,
    `--blobPort=${port}`,
    `--location=${join(base, "data")}`,
    "--silent",
    "--skipApiVersionCheck",
    "--disableTelemetry",
    ...(tls === undefined ? [] : ["--cert", tls.certificate, "--key", tls.key, "--oauth", "basic"]),
  ];
  let child: TiedChild | undefined;
  const start = async (): Promise<void> => {
    child = startTied(process.execPath, [program, ...flags], {
      env: { AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` },
      cwd: base,
    });
    await untilReady(endpoint, child);
  };
  const stop = async (signal: "TERM" | "KILL" = "TERM"): Promise<void> => {
    await child?.stop(signal);
    child = undefined;
  };
  try {
    await start();
    if (tls === undefined) {
      const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential(ACCOUNT, KEY));
      await service.createContainer(container);
    }
  } catch (error) {
    await stop("KILL");
    rmSync(base, { recursive: true, force: true });
    throw error;
  }
  return {
    account: ACCOUNT,
    key: KEY,
    endpoint,
    container,
    env: {
      STORE_URL: `azblob://${container}`,
      AZURE_STORAGE_ACCOUNT: ACCOUNT,
      AZURE_STORAGE_ENDPOINT: endpoint,
      AZURE_STORAGE_KEY: KEY,
    },
    log: () => child?.output() ?? "",
    stop,
    start,
    [Symbol.asyncDispose]: async () => {
      await stop("KILL");
      rmSync(base, { recursive: true, force: true });
    },
  };
}

async function untilReady(endpoint: string, child: TiedChild): Promise<void> {
  const deadline = performance.now() + 120_000;
  let ended = false;
  void child.ended.then(() => (ended = true));
  for (;;) {
    if (ended) throw new Error(`azurite ended at once:\n${child.output()}`);
    try {
      // Any answer will do; over https the certificate is not one that this process trusts.
      await fetch(endpoint);
      return;
    } catch (error) {
      if (/certificate/i.test(String((error as Error).cause))) return;
    }
    if (performance.now() > deadline) throw new Error(`azurite is not ready:\n${child.output()}`);
    await delay(100);
  }
}
