import type { Clock } from "@cdh/core/clock";
import { CdhError, reasonOf, type ErrorCode } from "@cdh/core/errors";
import type { ObjectStore } from "@cdh/core/store/store";
import { randomBytes, randomUUID } from "node:crypto";
import { HOST_NAMESPACE } from "./bundle-facts.ts";

/** How one step of the check went. */
export interface CheckStep {
  step: "write" | "look up" | "read back" | "list" | "delete";
  ok: boolean;
  detail: string;
  code?: ErrorCode;
  hint?: string;
  durationMs: number;
}

/**
 * Prove that the store takes, shows, gives back and deletes an object, as an upload needs it. A step that fails is
 * explained, and the next ones are tried as far as they make sense.
 */
export async function checkStore(store: ObjectStore, clock: Clock, signal: AbortSignal): Promise<CheckStep[]> {
  const key = `${HOST_NAMESPACE}/cdh-check-${randomUUID()}.txt`;
  const body = Buffer.concat([Buffer.from("cdh-upload check\n"), randomBytes(64)]);
  const steps: CheckStep[] = [];
  const step = async (name: CheckStep["step"], work: () => Promise<string>): Promise<boolean> => {
    const started = clock.monotonic();
    try {
      const detail = await work();
      steps.push({ step: name, ok: true, detail, durationMs: Math.round(clock.monotonic() - started) });
      return true;
    } catch (error) {
      const about =
        error instanceof CdhError
          ? { code: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }) }
          : {};
      steps.push({
        step: name,
        ok: false,
        detail: reasonOf(error),
        ...about,
        durationMs: Math.round(clock.monotonic() - started),
      });
      return false;
    }
  };
  const written = await step("write", async () => {
    const put = await store.putBytes(key, body, { signal, contentType: "text/plain" });
    return `${key}, verified by ${put.verifiedBy}`;
  });
  if (!written) return steps;
  await step("look up", async () => {
    const info = await store.head(key, signal);
    if (info?.sizeBytes !== body.length)
      throw new CdhError("CDH_STORE_MISMATCH", `the store shows ${info?.sizeBytes ?? "no"} bytes, not ${body.length}`);
    return `${info.sizeBytes} bytes`;
  });
  await step("read back", async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of (await store.get(key, undefined, signal)) ?? []) chunks.push(chunk);
    if (!Buffer.concat(chunks).equals(body))
      throw new CdhError("CDH_STORE_MISMATCH", "what came back is not what was written");
    return "the same bytes";
  });
  await step("list", async () => {
    for await (const object of store.list(key, { signal })) if (object.key === key) return "found";
    throw new CdhError("CDH_STORE", "the listing does not show the object");
  });
  await step("delete", async () => {
    await store.delete(key, signal);
    if ((await store.head(key, signal)) !== undefined) throw new CdhError("CDH_STORE", "the object is still there");
    return "gone";
  });
  return steps;
}
