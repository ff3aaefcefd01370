import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import { REPOSITORY } from "./repository.ts";
import { s3Request, type S3Account } from "./s3-request.ts";
import { startTied, type TiedChild } from "./tied-child.ts";
import { findTool } from "./tools.ts";

/** Real S3 servers this repository can start. `s3rver` comes from npm and stands in where Go is absent. */
export type S3Kind = "minio" | "versitygw" | "s3rver";

/** A real S3 server on loopback with one bucket. */
export interface S3Server extends S3Account, AsyncDisposable {
  readonly kind: S3Kind;
  readonly bucket: string;
  /** Set when this is not the server that was asked for: say it in the run. */
  readonly standIn: string | undefined;
  /** Environment for `cdh-upload` and `cdh-inspect`. */
  readonly env: Record<string, string>;
  readonly dataDir: string;
  /** What the server printed last. */
  log(): string;
  /** End the server, keep its data. SIGTERM unless `KILL`. */
  stop(signal?: "TERM" | "KILL"): Promise<void>;
  /** Start it again on the same port with the same data. */
  start(): Promise<void>;
}

function commandOf(
  kind: S3Kind,
  port: number,
  dataDir: string,
  account: S3Account,
): [string, string[], Record<string, string>] {
  const address = `127.0.0.1:${port}`;
  if (kind === "minio") {
    return [
      findTool("minio").path ?? "minio",
      ["server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0", dataDir],
      {
        MINIO_ROOT_USER: account.accessKey,
        MINIO_ROOT_PASSWORD: account.secretKey,
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
        MINIO_CI_CD: "1",
        HOME: dataDir,
      },
    ];
  }
  if (kind === "versitygw") {
    return [
      findTool("versitygw").path ?? "versitygw",
      [
        "--port",
        address,
        "--access",
        account.accessKey,
        "--secret",
        account.secretKey,
        "--region",
        account.region,
        "posix",
        dataDir,
      ],
      {},
    ];
  }
  return [
    process.execPath,
    [join(REPOSITORY, "test/helpers/s3rver-main.mjs"), String(port), dataDir, account.accessKey, account.secretKey],
    {},
  ];
}

async function untilReady(server: S3Account, child: TiedChild, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let ended = false;
  void child.ended.then(() => (ended = true));
  for (;;) {
    if (ended) throw new Error(`the S3 server ended at once:\n${child.output()}`);
    try {
      const answer = await s3Request(server, "GET", "/");
      await answer.arrayBuffer();
      if (answer.ok) return;
    } catch {
      // Not listening yet.
    }
    if (performance.now() > deadline)
      throw new Error(`the S3 server is not ready after ${timeoutMs} ms:\n${child.output()}`);
    await delay(50);
  }
}

/** Tell which server `startS3Server` would start when `kind` is asked for, and why it is another one. */
export function chooseS3(kind: S3Kind): { kind: S3Kind; standIn: string | undefined } {
  if (kind === "s3rver") return { kind, standIn: undefined };
  const { reason } = findTool(kind);
  if (reason === undefined) return { kind, standIn: undefined };
  return { kind: "s3rver", standIn: `${reason}; the npm package s3rver stands in` };
}

/**
 * Start a real S3 server on loopback, with a temporary directory and one bucket. It ends with this process.
 * @param options.kind default `minio`; where it can't be had, `s3rver` stands in and `standIn` says so
 * @param options.parent where its temporary directory is made; default: where all are
 * @throws {Error} when no server can be started
 */
export async function startS3Server(
  options: { kind?: S3Kind; bucket?: string; parent?: string } = {},
): Promise<S3Server> {
  const { kind, standIn } = chooseS3(options.kind ?? "minio");
  const bucket = options.bucket ?? "cores";
  const port = await freePort();
  const base = mkdtempSync(join(options.parent ?? tmpdir(), `cdh-${kind}-`));
  const dataDir = join(base, "data");
  mkdirSync(dataDir);
  const account: S3Account = {
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    accessKey: "cdh-test-key",
    secretKey: "cdh-test-secret-key",
  };
  const [command, args, env] = commandOf(kind, port, dataDir, account);
  let child: TiedChild | undefined;
  const start = async (): Promise<void> => {
    child = startTied(command, args, { env, cwd: base });
    await untilReady(account, child, 60_000);
  };
  const stop = async (signal: "TERM" | "KILL" = "TERM"): Promise<void> => {
    await child?.stop(signal);
    child = undefined;
  };
  try {
    await start();
    const made = await s3Request(account, "PUT", `/${bucket}`);
    if (!made.ok) throw new Error(`making the bucket ${bucket}: ${made.status} ${await made.text()}`);
  } catch (error) {
    await stop("KILL");
    rmSync(base, { recursive: true, force: true });
    throw error;
  }
  return {
    ...account,
    kind,
    bucket,
    standIn,
    dataDir,
    env: {
      S3_ENDPOINT: account.endpoint,
      S3_REGION: account.region,
      S3_BUCKET_NAME: bucket,
      S3_ACCESS_KEY: account.accessKey,
      S3_SECRET: account.secretKey,
      S3_FORCE_PATH_STYLE: "true",
    },
    log: () => child?.output() ?? "",
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await stop("KILL");
      rmSync(base, { recursive: true, force: true });
    },
  };
}
