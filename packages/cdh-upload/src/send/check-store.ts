import { randomBytes, randomUUID } from "node:crypto";
import type { Clock } from "@cdh/core/clock";
import { CdhError, reasonOf, type ErrorCode } from "@cdh/core/errors";
import type { CheckedAccess, CheckedRight, ObjectStore } from "@cdh/core/store/store";
import { HOST_NAMESPACE } from "../queue/bundle-facts.ts";
import { makeProbeFile } from "./probe-file.ts";

/** How one step of the check went. */
export interface CheckStep {
  step:
    | "write"
    | "look up"
    | "read back"
    | "keep"
    | "write in parts"
    | "list"
    | "list uploads"
    | "list parts"
    | "abort upload"
    | "access"
    | "delete";
  /**
   * `missing`: a right that uploads do without. `skipped`: it could not be tried here, which says nothing of the store.
   * `warning`: uploads work, but somebody should know.
   */
  result: "ok" | "failed" | "missing" | "skipped" | "warning";
  /** What the store's policies call the right that the step needs. */
  right?: string;
  detail: string;
  code?: ErrorCode;
  hint?: string;
  durationMs: number;
}

/** Say what a step needs. */
interface StepNeeds {
  right?: string | undefined;
  /** What happens where the right is missing, when uploads work all the same. */
  without?: string;
}

/**
 * Prove that the store takes, shows, keeps and gives back objects, as `run` needs it: small ones and ones in parts, never
 * replacing anything. A step that fails is explained, and the next ones are tried as far as they make sense. Rights that
 * uploads do without are told with what is lost without them.
 */
export async function checkStore(
  store: ObjectStore,
  options: { clock: Clock; signal: AbortSignal; coreDir: string },
): Promise<CheckStep[]> {
  const { signal } = options;
  const check = new Check(options.clock, signal);
  const { rights } = store;
  const key = `${HOST_NAMESPACE}/cdh-check-${randomUUID()}.txt`;
  const body = Buffer.concat([Buffer.from("cdh-upload check\n"), randomBytes(64)]);
  const written = await check.step("write", { right: rights?.write }, async () => {
    const put = await store.putBytes(key, body, { signal, contentType: "text/plain" });
    return `${key}, verified by ${put.verifiedBy}`;
  });
  if (!written) return check.steps;
  await check.step("look up", { right: rights?.read }, async () => {
    const info = await store.head(key, signal);
    if (info?.sizeBytes !== body.length)
      throw new CdhError("CDH_STORE_MISMATCH", `the store shows ${info?.sizeBytes ?? "no"} bytes, not ${body.length}`);
    return `${info.sizeBytes} bytes`;
  });
  await check.step("read back", { right: rights?.read }, async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of (await store.get(key, { offset: 0, length: body.length + 1 }, signal)) ?? [])
      chunks.push(chunk);
    if (!Buffer.concat(chunks).equals(body))
      throw new CdhError("CDH_STORE_MISMATCH", "what came back is not what was written");
    return "the same bytes";
  });
  await check.step("keep", { right: rights?.write }, () => mustRefuse(store, key, signal));
  const largeKey = `${HOST_NAMESPACE}/cdh-check-${randomUUID()}.bin`;
  await checkParts(check, store, largeKey, options);
  await check.step("list", { right: rights?.list, without: "cdh-inspect and cdh-api find nothing" }, async () => {
    for await (const object of store.list(key, { signal })) if (object.key === key) return "found";
    throw new CdhError("CDH_STORE", "the listing does not show the object");
  });
  await checkUploads(check, store, largeKey, signal);
  check.looked(await store.checkAccess?.(signal));
  const without = `retention removes nothing; ${key} and ${largeKey} stay`;
  await check.step("delete", { right: rights?.delete, without }, async () => {
    await store.delete(largeKey, signal);
    await store.delete(key, signal);
    if ((await store.head(key, signal)) !== undefined) throw new CdhError("CDH_STORE", "the object is still there");
    return "gone";
  });
  return check.steps;
}

/** Put other content under a key that is taken: two nodes whose bundles have one name must not lose one. */
async function mustRefuse(store: ObjectStore, key: string, signal: AbortSignal): Promise<string> {
  try {
    await store.putBytes(key, randomBytes(64), { signal, contentType: "text/plain" });
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_CONFLICT") throw error;
    return store.refusesToReplace === false
      ? "nothing is replaced, which is looked up before each upload: the store knows no condition"
      : "nothing is replaced";
  }
  throw new CdhError("CDH_STORE", "other content has replaced what lay there");
}

/** Send a file as a bundle is sent, in two parts. */
async function checkParts(
  check: Check,
  store: ObjectStore,
  key: string,
  { signal, coreDir }: { signal: AbortSignal; coreDir: string },
): Promise<void> {
  const { rights } = store;
  const right = rights === undefined ? undefined : `${rights.write} ${rights.read}`;
  const probe = await makeProbeFile(coreDir);
  if (probe === undefined) {
    check.steps.push({
      step: "write in parts",
      result: "skipped",
      detail: "no directory to put a file into",
      durationMs: 0,
    });
    return;
  }
  try {
    await check.step("write in parts", { right }, async () => {
      const put = await store.putFile(key, probe, { signal });
      return `${put.sizeBytes} bytes, verified by ${put.verifiedBy}`;
    });
  } finally {
    await probe.remove();
  }
}

async function checkUploads(check: Check, store: ObjectStore, key: string, signal: AbortSignal): Promise<void> {
  if (store.checkUploads === undefined) return;
  try {
    for await (const right of store.checkUploads(key, signal)) check.took(right);
  } catch (error) {
    // None could be begun, which "write in parts" has told.
    if (!check.steps.some(({ step, result }) => step === "write in parts" && result === "failed")) throw error;
  }
}

class Check {
  readonly steps: CheckStep[] = [];
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #startedAt: number;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    this.#startedAt = clock.monotonic();
  }

  /** @returns whether it went well @throws the signal's reason: whoever gives up learns nothing of the store */
  async step(step: CheckStep["step"], needs: StepNeeds, work: () => Promise<string>): Promise<boolean> {
    try {
      this.#add(step, needs, { detail: await work() });
      return true;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#add(step, needs, { error });
      return false;
    }
  }

  /** Take what the store tried itself. */
  took({ step, right, without, detail, error }: CheckedRight): void {
    this.#add(step, { right, without }, error === undefined ? { detail: detail ?? "" } : { error });
  }

  /** Take what a look at the store's settings found; it fails nothing. */
  looked(access: CheckedAccess | undefined): void {
    if (access === undefined) return;
    const { result, ...found } = access;
    const durationMs = this.#lap();
    this.steps.push({ step: "access", result: result === "unknown" ? "skipped" : result, ...found, durationMs });
  }

  /** Milliseconds since the last step. */
  #lap(): number {
    const now = this.#clock.monotonic();
    const durationMs = Math.round(now - this.#startedAt);
    this.#startedAt = now;
    return durationMs;
  }

  #add(step: CheckStep["step"], { right, without }: StepNeeds, came: { detail: string } | { error: unknown }): void {
    const durationMs = this.#lap();
    const named = right === undefined ? {} : { right };
    if ("detail" in came) {
      this.steps.push({ step, result: "ok", ...named, detail: came.detail, durationMs });
      return;
    }
    const { error } = came;
    const known = error instanceof CdhError ? error : undefined;
    const isMissing = without !== undefined && known?.code === "CDH_STORE_DENIED";
    this.steps.push({
      step,
      result: isMissing ? "missing" : "failed",
      ...named,
      detail: isMissing ? `denied: without it ${without}` : reasonOf(error),
      ...(known === undefined ? {} : { code: known.code }),
      ...(known?.hint === undefined || isMissing ? {} : { hint: known.hint }),
      durationMs,
    });
  }
}
