import { toRfc3339, type Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { crashLine } from "@cdh/core/report/crash-line";
import type { Outcome, Talker } from "./events.ts";
import { Outbox, type Delivery } from "./outbox.ts";

/** After a day nobody wants to be told any more. */
const MAX_AGE_MS = 24 * 3600e3;
const TIMEOUT_MS = 10_000;

/** Read WEBHOOK_URL. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseWebhookUrl(text: string): string | undefined {
  if (text.trim() === "") return undefined;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new CdhError("CDH_CONFIG_INVALID", "not an http or https address");
  return text;
}

/**
 * Send a CloudEvent for each bundle that is safe in the store. The receiver's trouble is never ours: what it does not
 * take now waits for it. Its id is the crash's, so a receiver can drop what it gets twice.
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md (structured mode)
 */
export function sendCloudEvents(
  url: string,
  options: { clock: Clock; log: Logger; nodeName: string | undefined },
): Talker {
  const { clock, log } = options;
  const outbox = new Outbox<{ crashId: string; body: string }>({
    receiver: "webhook",
    clock,
    log,
    maxAgeMs: MAX_AGE_MS,
    send: async ({ crashId, body }, signal) => {
      const delivery = await post(url, body, signal);
      if (delivery.status === "refused") log.warn("webhook failed", { crashId, reason: delivery.reason });
      return delivery;
    },
  });
  return {
    settle: () => outbox.settle(),
    close: () => outbox.close(),
    ended: (outcome) => {
      if (outcome.status !== "uploaded") return;
      const event = cloudEventOf(outcome, options.nodeName, clock);
      outbox.add({ crashId: event.id, body: JSON.stringify(event) });
    },
  };
}

/** Describe an uploaded bundle as a CloudEvent. */
function cloudEventOf(outcome: Outcome & { status: "uploaded" }, nodeName: string | undefined, clock: Clock) {
  const { facts, location, put } = outcome.uploaded;
  const { manifest } = facts;
  const node = manifest.node.nodeName ?? nodeName ?? "unknown";
  return {
    specversion: "1.0",
    id: manifest.crashId,
    type: "info.coredump.created",
    source: `/nodes/${encodeURIComponent(node)}`,
    subject: `${facts.namespace}/${manifest.pod?.name ?? node}`,
    time: manifest.crashedAt === "" ? toRfc3339(clock.now()) : manifest.crashedAt,
    datacontenttype: "application/json",
    data: {
      location,
      sizeBytes: put.sizeBytes,
      sha256: put.sha256,
      namespace: facts.namespace,
      node,
      pod: manifest.pod,
      container: manifest.container,
      process: { pid: manifest.process.pid, comm: manifest.process.comm, exe: manifest.process.exe },
      signal: manifest.signal,
      summary: crashLine(manifest) || undefined,
      complete: manifest.core.complete,
      suppressed: manifest.suppressed,
    },
  };
}

/** What a receiver may answer while it is being started, is busy, or was not told of our route yet. */
const LATER = new Set([404, 408, 409, 421, 425, 429]);

async function post(url: string, body: string, signal: AbortSignal): Promise<Delivery & { reason?: string }> {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/cloudevents+json; charset=utf-8" },
      body,
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await answer.body?.cancel();
    if (answer.ok) return { status: "done" };
    const reason = `HTTP ${answer.status}`;
    return { status: answer.status >= 500 || LATER.has(answer.status) ? "later" : "refused", reason };
  } catch (error) {
    // fetch says only that it failed; the reason lies below.
    return {
      status: "later",
      reason: reasonOf(error instanceof Error && error.cause !== undefined ? error.cause : error),
    };
  }
}
