import { toRfc3339, type Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { retrying } from "@cdh/core/store/backoff";
import type { Outcome, UploadEvents } from "./events.ts";
import { Outbox } from "./outbox.ts";

const ATTEMPTS = 5;
const TIMEOUT_MS = 10_000;

/** Read WEBHOOK_URL. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseWebhookUrl(text: string): string | undefined {
  if (text.trim() === "") return undefined;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new CdhError("CDH_CONFIG_INVALID", "not an http or https address");
  return text;
}

/**
 * Send a CloudEvent for each bundle that is safe in the store. The receiver's trouble is never ours: a few attempts, then
 * a log line. Its id is the crash's, so a receiver can drop what it gets twice.
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md (structured mode)
 */
export function sendCloudEvents(
  url: string,
  options: { clock: Clock; log: Logger; nodeName: string | undefined },
): UploadEvents & { settle(): Promise<void> } {
  const { clock, log } = options;
  const outbox = new Outbox();
  return {
    settle: () => outbox.settle(),
    ended: (outcome) => {
      if (outcome.status !== "uploaded") return;
      const event = cloudEventOf(outcome, options.nodeName, clock);
      const accepted = outbox.add(async () => {
        try {
          await retrying(() => post(url, event), {
            clock,
            attempts: ATTEMPTS,
            baseMs: 500,
            capMs: 30_000,
            isTransient: () => true,
          });
        } catch (error) {
          log.warn("webhook failed", { crashId: event.id, reason: reasonOf(error) });
        }
      });
      if (!accepted) log.warn("webhook skipped: too many wait", { crashId: event.id });
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
      complete: manifest.core.complete,
      suppressed: manifest.suppressed,
    },
  };
}

async function post(url: string, event: object): Promise<void> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/cloudevents+json; charset=utf-8" },
    body: JSON.stringify(event),
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
}
