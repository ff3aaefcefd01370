import { basename, dirname, join } from "node:path";
import type { Roots } from "../base/roots.ts";
import type { PodFacts, Problem } from "../bundle/manifest.ts";
import { noteMiss, type Collected } from "./collected.ts";
import type { Crictl } from "./crictl.ts";
import type { Identity } from "./identify.ts";
import { POD_LOGS } from "./kubelet-files.ts";
import { readLogTail, type LogTail } from "./log-file.ts";
import type { LogSearch } from "./log-search.ts";

/** What reading logs needs. */
interface LogOptions {
  roots: Roots;
  identity: Identity;
  crictl?: Crictl;
  /** LOG_LENGTH. */
  logLines: number;
  signal?: AbortSignal;
}
/** Bytes of one log, and of all logs of a pod together: how long its lines are is the container's own choice. */
const LOG_MAX_BYTES = 2 * 1024 * 1024;
export const LOGS_MAX_BYTES = 4 * 1024 * 1024;

/** Read a container's log from the kubelet's files; undefined when nobody knows where they are. */
export async function readLogFile(
  options: LogOptions,
  container: { name?: string | undefined; logPath: string | undefined; search?: LogSearch | undefined },
  pod: PodFacts | undefined,
  roomBytes = LOGS_MAX_BYTES,
): Promise<Collected<LogTail> | undefined> {
  const { roots, logLines: lines, signal, identity } = options;
  const directory = lines > 0 ? logDirectory(identity, container, pod) : undefined;
  if (directory === undefined) return undefined;
  if (roomBytes <= 0) return { missing: "CDH_CUT", detail: `${directory}: no room beside the pod's other logs` };
  const maxBytes = Math.min(LOG_MAX_BYTES, roomBytes);
  const { search } = container;
  return await readLogTail({ roots, directory, lines, maxBytes, search, ...(signal === undefined ? {} : { signal }) });
}

/** Bytes of a log that was read; 0 for one that was not. */
export async function sizeOf(log: Promise<Collected<LogTail> | undefined>): Promise<number> {
  const found = await log;
  return found !== undefined && "value" in found ? found.value.text.length : 0;
}

/** Take the log from the file, or ask the runtime for it where there is none. */
export async function orAskForLog(
  options: LogOptions,
  containerId: string,
  file: Collected<LogTail> | undefined,
  problems: Problem[],
): Promise<{ text: Uint8Array; restartCount?: number } | undefined> {
  const { crictl, logLines, signal } = options;
  if (logLines <= 0) return undefined;
  if (file !== undefined && "value" in file) return file.value;
  if (file !== undefined) noteMiss(problems, "logs", file);
  if (crictl === undefined || (file !== undefined && file.missing === "CDH_CUT")) return undefined;
  const answer = await crictl.logs(containerId, logLines, signal);
  if ("value" in answer) return { text: Buffer.from(answer.value) };
  noteMiss(problems, "logs", answer);
  return undefined;
}

function logDirectory(
  identity: Identity,
  container: { name?: string | undefined; logPath: string | undefined },
  pod: PodFacts | undefined,
): string | undefined {
  // The runtime's path counts when it looks like the kubelet's: `<pod folder>/<container>/<n>.log`.
  if (container.logPath?.startsWith("/") === true && /^\d+\.log$/.test(basename(container.logPath)))
    return dirname(container.logPath);
  if (container.name === undefined) return undefined;
  if (identity.logDirectory !== undefined) return join(identity.logDirectory, container.name);
  if (pod?.namespace === undefined || pod.name === undefined || pod.uid === undefined) return undefined;
  return join(POD_LOGS, `${pod.namespace}_${pod.name}_${pod.uid}`, container.name);
}
