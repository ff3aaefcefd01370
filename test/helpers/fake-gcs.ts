import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import { startTied, type TiedChild } from "./tied-child.ts";
import { findTool } from "./tools.ts";

/** An emulator of Google Cloud Storage on loopback, with one bucket. It asks for no token and looks at no signature. */
export interface FakeGcs extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: string;
  /** Environment for `cdh-upload` and `cdh-inspect`. */
  readonly env: Record<string, string>;
  /** What it printed last. */
  log(): string;
}

/**
 * Start the emulator. It ends with this process.
 * @param options.publicPort the port that its answers name, where a proxy stands before it
 * @throws {Error} when it is not there or does not start
 */
export async function startFakeGcs(options: { bucket?: string; publicUrl?: string } = {}): Promise<FakeGcs> {
  const tool = findTool("fake-gcs-server");
  if (tool.path === undefined) throw new Error(tool.reason);
  const bucket = options.bucket ?? "cores";
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const base = mkdtempSync(join(tmpdir(), "cdh-gcs-"));
  const flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", String(port), "-backend", "filesystem"];
  const places = [
    "-filesystem-root",
    base,
    "-external-url",
    options.publicUrl ?? endpoint,
    "-public-host",
    `127.0.0.1:${port}`,
  ];
  const child: TiedChild = startTied(tool.path, [...flags, ...places], { cwd: base });
  const dispose = async (): Promise<void> => {
    await child.stop("KILL");
    rmSync(base, { recursive: true, force: true });
  };
  try {
    await untilReady(endpoint, child);
    const made = await fetch(`${endpoint}/storage/v1/b?project=test`, {
      method: "POST",
      body: JSON.stringify({ name: bucket }),
    });
    if (!made.ok) throw new Error(`making the bucket ${bucket}: ${made.status} ${await made.text()}`);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    endpoint,
    bucket,
    env: { STORE_URL: `gs://${bucket}`, STORAGE_EMULATOR_HOST: endpoint },
    log: () => child.output(),
    [Symbol.asyncDispose]: dispose,
  };
}

async function untilReady(endpoint: string, child: TiedChild): Promise<void> {
  const deadline = performance.now() + 60_000;
  let ended = false;
  void child.ended.then(() => (ended = true));
  for (;;) {
    if (ended) throw new Error(`fake-gcs-server ended at once:\n${child.output()}`);
    const answer = await fetch(`${endpoint}/storage/v1/b?project=test`).catch(() => undefined);
    if (answer?.ok === true) return;
    if (performance.now() > deadline) throw new Error(`fake-gcs-server is not ready:\n${child.output()}`);
    await delay(50);
  }
}
