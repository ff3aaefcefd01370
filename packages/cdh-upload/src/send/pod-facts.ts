import { compact, tryRecord } from "@cdh/core/base/records";
import { parseBoundedJson } from "@cdh/core/bundle/bounded-json";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import type { ContainerFacts, Manifest, PodFacts } from "@cdh/core/bundle/manifest";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { toRfc3339, type Clock } from "@cdh/core/clock";
import { asObjects, dig, digText, digTexts } from "@cdh/core/container/json";
import { ownerOf } from "@cdh/core/container/owner";
import { CdhError } from "@cdh/core/errors";
import { askKubernetes, type KubernetesAccess } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import type { BundleFacts } from "../queue/bundle-facts.ts";

/** Answers that are kept: a pod that crashes in a loop is asked for once. */
const KEPT_ANSWERS = 256;
const KEEP_MS = 60_000;
/** An API server that does not answer, or refuses, is left alone for so long. */
const REST_MS = 60_000;
/** Labels that are taken; Kubernetes itself bounds each, not their number. */
const LABELS_MAX = 256;

/** Completes what the node could not know of a crashed pod. */
export type PodCompleter = (facts: BundleFacts) => Promise<BundleFacts>;

interface Answer {
  askedAt: number;
  /** Not there yet while it is asked for: uploads at the same time wait for the one answer. */
  pod: Promise<unknown>;
}

/**
 * Complete manifests from the API server's pods: labels, owner, image id. A container runtime without crictl leaves the
 * composer without them. Only absent facts are filled in, only for a pod whose identity the node has verified, and only
 * from the object with the same uid on the same node. Never rejects and never holds an upload up for longer than one
 * request: a bundle goes as it is when the API server does not tell.
 */
export function completeFromKubernetes(
  access: KubernetesAccess,
  { clock, log }: { clock: Clock; log: Logger },
): PodCompleter {
  const answers = new Map<string, Answer>();
  let restUntil = Number.NEGATIVE_INFINITY;
  let refusedWith: number | undefined;

  /** @returns undefined when it is not there, or the API server does not tell */
  const ask = async (path: string): Promise<unknown> => {
    const { status, body, problem } = await askKubernetes(access, "GET", path);
    if (status === 200 || status === 404) {
      refusedWith = undefined;
      return status === 200 ? body : undefined;
    }
    answers.delete(path);
    restUntil = clock.monotonic() + REST_MS;
    const say = refusedWith === status ? log.debug : log.warn;
    refusedWith = status;
    say("cannot read pods; bundles go without labels, owner and image id", {
      httpStatus: status,
      reason: problem ?? digText(body, "message") ?? "",
      ...(status === 403 ? { hint: "the service account needs get on pods; POD_FACTS=false turns this off" } : {}),
    });
    return undefined;
  };

  const podAt = (path: string): Promise<unknown> => {
    const now = clock.monotonic();
    const known = answers.get(path);
    if (known !== undefined && now - known.askedAt < KEEP_MS) return known.pod;
    if (now < restUntil) return Promise.resolve(undefined);
    answers.delete(path);
    const pod = ask(path);
    answers.set(path, { askedAt: now, pod });
    for (const oldest of answers.keys()) {
      if (answers.size <= KEPT_ANSWERS) break;
      answers.delete(oldest);
    }
    return pod;
  };

  return async (facts) => {
    const { manifest } = facts;
    const { pod, identity } = manifest;
    if (facts.unreadable !== undefined || identity?.verified !== true) return facts;
    if (pod?.name === undefined || pod.namespace === undefined || pod.uid === undefined || !lacks(manifest))
      return facts;
    const found = await podAt(
      `/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/pods/${encodeURIComponent(pod.name)}`,
    );
    return found !== undefined && isSamePod(found, manifest) ? withFacts(facts, found, clock.now()) : facts;
  };
}

function lacks({ pod, container }: Manifest): boolean {
  return (
    pod?.labels === undefined || pod.owner === undefined || (container !== undefined && container.imageId === undefined)
  );
}

/** A pod of the same name may have come after the crashed one. A static pod's uid is the hash of its file. */
function isSamePod(found: unknown, { pod, node }: Manifest): boolean {
  const uids = [
    digText(found, "metadata", "uid"),
    digText(found, "metadata", "annotations", "kubernetes.io/config.hash"),
  ];
  const runsOn = digText(found, "spec", "nodeName");
  return (
    pod?.uid !== undefined &&
    uids.includes(pod.uid) &&
    (runsOn === undefined || node.nodeName === undefined || runsOn === node.nodeName)
  );
}

/** Fill in what is absent, in the manifest and in what becomes the object beside the bundle. */
function withFacts(facts: BundleFacts, found: unknown, now: number): BundleFacts {
  const { manifest } = facts;
  const labels = manifest.pod?.labels ?? labelsOf(found);
  const pod = compact<PodFacts>({
    ...manifest.pod,
    labels,
    owner: manifest.pod?.owner ?? ownerIn(found, labels ?? {}),
  });
  const container =
    manifest.container &&
    compact<ContainerFacts>({
      ...manifest.container,
      imageId: manifest.container.imageId ?? imageIdIn(found, manifest.container),
    });
  const fields = [
    ...(pod.labels === manifest.pod?.labels ? [] : ["pod.labels"]),
    ...(pod.owner === manifest.pod?.owner ? [] : ["pod.owner"]),
    ...(container?.imageId === manifest.container?.imageId ? [] : ["container.imageId"]),
  ];
  if (fields.length === 0) return facts;
  const completed = { from: "kubernetes", at: toRfc3339(now), fields };
  const said = tryRecord(parseBoundedJson(facts.manifestBody, "the manifest")) ?? {};
  const body = Buffer.from(
    `${JSON.stringify({ ...said, pod, ...(container === undefined ? {} : { container }), completed })}\n`,
  );
  try {
    // What no reader would take must not replace what every reader takes.
    if (body.length > READ_LIMITS.manifest.bytes) return facts;
    return { ...facts, manifest: parseManifest(body, "the completed manifest"), manifestBody: body };
  } catch (error) {
    if (error instanceof CdhError) return facts;
    throw error;
  }
}

function labelsOf(found: unknown): Record<string, string> | undefined {
  const labels = Object.entries(digTexts(found, "metadata", "labels"));
  return labels.length === 0 || labels.length > LABELS_MAX ? undefined : Object.fromEntries(labels);
}

/** What the controllers' labels tell is the workload that people know; else the controller itself. */
function ownerIn(found: unknown, labels: Record<string, string>): PodFacts["owner"] | undefined {
  const name = digText(found, "metadata", "name") ?? "";
  const told = ownerOf(name, labels, digTexts(found, "metadata", "annotations"));
  if (told !== undefined) return told;
  const controller = asObjects(dig(found, "metadata", "ownerReferences")).find((owner) => owner["controller"] === true);
  const [kind, ownerName] = [digText(controller, "kind"), digText(controller, "name")];
  return kind === undefined || ownerName === undefined ? undefined : { kind, name: ownerName };
}

/** The image of the container that crashed: it may have been restarted since, and then only the same image counts. */
function imageIdIn(found: unknown, { id, imageRef }: ContainerFacts): string | undefined {
  const lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
  for (const status of lists.flatMap((list) => asObjects(dig(found, "status", list)))) {
    const isCurrent = digText(status, "containerID")?.endsWith(`//${id}`) === true;
    const wasLast = digText(status, "lastState", "terminated", "containerID")?.endsWith(`//${id}`) === true;
    if (isCurrent || (wasLast && imageRef !== undefined && digText(status, "image") === imageRef))
      return digText(status, "imageID") || undefined;
  }
  return undefined;
}
