import { type JsonObject, compact } from "../base/records.ts";
import type { Roots } from "../base/roots.ts";
import type { ContainerFacts, PodFacts, Problem } from "../bundle/manifest.ts";
import { noteMiss, type Collected } from "./collected.ts";
import { LOGS_MAX_BYTES, orAskForLog, readLogFile, sizeOf } from "./container-logs.ts";
import { readContainer, readPod } from "./crictl-facts.ts";
import type { Crictl } from "./crictl.ts";
import type { Identity } from "./identify.ts";
import { findImage, firstDigest } from "./image-facts.ts";
import { asObjects, dig } from "./json.ts";
import type { LogSearch } from "./log-search.ts";

/** What is added to a bundle about one container of the pod. */
export interface EnrichedContainer {
  id: string;
  name?: string;
  /** True for the one that crashed. */
  crashed: boolean;
  /** Last lines of its log. */
  log?: Uint8Array;
  /** Its entry of crictl's image list. */
  imageInfo?: JsonObject;
}

/** What is added to a bundle about the pod. */
export interface Enrichment {
  /** The pod's entry of `crictl pods`. */
  podInfo?: JsonObject;
  /** `crictl inspectp`. */
  runtimeInfo?: JsonObject;
  /** `crictl ps` for the pod. */
  psInfo?: JsonObject;
  /** In crictl's order; the crashed one is always among them when it is known. */
  containers: EnrichedContainer[];
  /** The identity's, completed. */
  container?: ContainerFacts;
  pod?: PodFacts;
  podLabels: Record<string, string>;
  /** Lines of the crashed container's log that were looked for. */
  foundLines?: string[];
  /** The first digest of each container's image, `""` where there is none. */
  repoDigests: string[];
  problems: Problem[];
}

/** Say whose pod it is, and who may be asked. */
export interface EnrichOptions {
  roots: Roots;
  identity: Identity;
  crictl?: Crictl;
  /** LOG_LENGTH. */
  logLines: number;
  /** What to look for in the crashed container's log. */
  search?: LogSearch | undefined;
  signal?: AbortSignal;
}

/** A pod has seldom more than a handful; each costs a log. */
const MAX_CONTAINERS = 32;

/**
 * Gather what a bundle tells about the pod beyond its identity: crictl's answers, logs, images. Never rejects. Without
 * crictl the crashed container's log is read all the same, since its place is known.
 */
export async function enrich(options: EnrichOptions): Promise<Enrichment> {
  const { identity, crictl, signal } = options;
  const problems: Problem[] = [];
  const keep = <T>(answer: Collected<T>): T | undefined => {
    if ("value" in answer) return answer.value;
    noteMiss(problems, "crictl", answer);
    return undefined;
  };
  // The log that matters most is a file: read it at once, so that no hanging crictl costs it.
  const early = readLogFile(
    options,
    { ...identity.container, logPath: identity.logPath, search: options.search },
    identity.pod,
  );
  const sandboxId = crictl === undefined ? undefined : await findSandbox(crictl, identity, keep, signal);
  let podInfo: JsonObject | undefined;
  let runtimeInfo: JsonObject | undefined;
  let psInfo: JsonObject | undefined;
  let images: JsonObject[] | undefined;
  let inspected: JsonObject | undefined;
  if (crictl !== undefined && sandboxId !== undefined) {
    // Two at a time: a crash storm must not start hundreds of crictl at once.
    await Promise.all([
      (async () => {
        runtimeInfo = keep(await crictl.inspectPod(sandboxId, signal));
        podInfo = keep(await crictl.podById(sandboxId, signal))?.find((pod) => pod["id"] === sandboxId);
      })(),
      (async () => {
        psInfo = keep(await crictl.containersOf(sandboxId, signal));
        images = keep(await crictl.images(signal));
        if (identity.container !== undefined && identity.sandbox !== true) {
          inspected = keep(await crictl.inspectContainer(identity.container.id, signal));
        }
      })(),
    ]);
  }
  const pod = completePod(identity, podInfo, runtimeInfo, sandboxId);
  const container = completeContainer(identity, inspected);
  const listed = listContainers(psInfo, identity.sandbox === true ? undefined : container);
  const containers: EnrichedContainer[] = [];
  let logBytes = await sizeOf(early);
  let foundLines: string[] | undefined;
  for (const { id, name, imageRef } of listed) {
    const crashed = id === identity.container?.id;
    const first = crashed ? await early : undefined;
    // A kubelet may keep its logs elsewhere; then only the runtime's answer says where.
    const logPath = crashed ? logPathOf(inspected) : undefined;
    const file =
      first === undefined || ("missing" in first && logPath !== undefined)
        ? await readLogFile(
            options,
            { name, logPath, search: crashed ? options.search : undefined },
            pod,
            LOGS_MAX_BYTES - logBytes,
          )
        : first;
    if (crashed && file !== undefined && "value" in file) foundLines = file.value.found;
    const log = await orAskForLog(options, id, file, problems);
    if (first === undefined) logBytes += log?.text.length ?? 0;
    if (crashed && container !== undefined && container.restartCount === undefined && log?.restartCount !== undefined) {
      container.restartCount = log.restartCount;
    }
    const imageInfo = findImage(images, imageRef);
    containers.push(compact<EnrichedContainer>({ id, name, crashed, log: log?.text, imageInfo }));
  }
  return compact<Enrichment>({
    podInfo,
    runtimeInfo,
    psInfo,
    containers,
    container,
    pod,
    podLabels: pod?.labels ?? {},
    foundLines,
    repoDigests: containers.map(({ imageInfo }) => firstDigest(imageInfo)),
    problems,
  });
}

/**
 * Read the pod's labels, for POD_SELECTOR_LABEL: one call of crictl, which {@link enrich} does not make again.
 */
export async function readPodLabels(options: {
  identity: Identity;
  crictl: Crictl;
  signal?: AbortSignal;
}): Promise<Collected<Record<string, string>>> {
  const { identity, crictl, signal } = options;
  if (identity.pod?.labels !== undefined) return { value: identity.pod.labels };
  let miss: Collected<never> | undefined;
  const sandboxId = await findSandbox(
    crictl,
    identity,
    (answer) => {
      if ("value" in answer) return answer.value;
      miss = answer;
      return undefined;
    },
    signal,
  );
  if (sandboxId === undefined) return miss ?? { missing: "CDH_NO_IDENTITY", detail: "the pod is not known" };
  const answer = await crictl.inspectPod(sandboxId, signal);
  return "missing" in answer ? answer : { value: readPod(answer.value).labels ?? {} };
}

type Keep = <T>(answer: Collected<T>) => T | undefined;

/** The sandbox's id is in the runtime's record; the kubelet's folders don't say it. */
async function findSandbox(
  crictl: Crictl,
  identity: Identity,
  keep: Keep,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { pod } = identity;
  if (pod?.sandboxId !== undefined || pod?.name === undefined) return pod?.sandboxId;
  const pods = keep(await crictl.podsByName(pod.name, signal))?.map(readPod) ?? [];
  const same = pods.filter(
    (candidate) => candidate.name === pod.name && candidate.namespace === pod.namespace && candidate.uid === pod.uid,
  );
  return same.sort((a, b) => (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0))[0]?.sandboxId;
}

function completePod(
  identity: Identity,
  podInfo: JsonObject | undefined,
  runtimeInfo: JsonObject | undefined,
  sandboxId: string | undefined,
): PodFacts | undefined {
  const said = podInfo ?? runtimeInfo;
  if (said === undefined) return identity.pod;
  const { state: _state, createdAtMs: _createdAtMs, ...facts } = readPod(said);
  // The identity's own fields win: they were taken from the kernel's id.
  return compact<PodFacts>({ ...facts, ...identity.pod, sandboxId });
}

function completeContainer(identity: Identity, inspected: JsonObject | undefined): ContainerFacts | undefined {
  if (identity.container === undefined || inspected === undefined)
    return identity.container && { ...identity.container };
  const { pod: _pod, sandboxId: _sandboxId, logPath: _logPath, id, ...facts } = readContainer(inspected);
  return id === identity.container.id
    ? compact<ContainerFacts>({ ...facts, ...identity.container })
    : { ...identity.container };
}

function logPathOf(inspected: JsonObject | undefined): string | undefined {
  return inspected === undefined ? undefined : readContainer(inspected).logPath;
}

interface Listed {
  id: string;
  name?: string;
  imageRef?: string;
}

function listContainers(psInfo: JsonObject | undefined, crashed: ContainerFacts | undefined): Listed[] {
  const listed = asObjects(dig(psInfo, "containers"))
    .slice(0, MAX_CONTAINERS)
    .flatMap((entry): Listed[] => {
      const { id, name, imageId, imageRef } = readContainer(entry);
      return id === undefined ? [] : [compact<Listed>({ id, name, imageRef: imageId ?? imageRef })];
    });
  if (crashed !== undefined && !listed.some(({ id }) => id === crashed.id)) {
    // crictl lists running containers only, and this one may have ended meanwhile.
    listed.push(compact<Listed>({ id: crashed.id, name: crashed.name, imageRef: crashed.imageId ?? crashed.imageRef }));
  }
  return listed;
}
