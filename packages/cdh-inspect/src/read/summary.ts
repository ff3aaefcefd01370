import type { Manifest } from "@cdh/core/bundle/manifest";
import { isRestricted } from "@cdh/core/bundle/restricted";
import { crashCount } from "@cdh/core/groups/crash-count";
import { crashKeys } from "@cdh/core/groups/crash-keys";
import { isCompletenessKnown, isSizeKnown } from "@cdh/core/report/completeness";
import { crashLine, crashPlace } from "@cdh/core/report/crash-line";

/** One line of `ls`: what a person needs to pick the right crash. Absent means unknown. */
export interface Summary {
  /** What `show` takes: a path or a URL. */
  bundle: string;
  crashId?: string;
  crashedAt?: string;
  /** How many crashes this stands for, itself the last; absent: one. */
  count?: number;
  /** When the first of them was; absent as `count`. */
  firstAt?: string;
  namespace?: string;
  pod?: string;
  container?: string;
  /** What owns the pod: a deployment's, a job's name. */
  workload?: string;
  /** Name of the container's image. */
  image?: string;
  node?: string;
  /** How often the container was restarted before. */
  restarts?: number;
  /** Path of the executable, or the process's name. */
  exe?: string;
  signal?: string;
  /** Why and where, in one line. */
  summary?: string;
  /** Where alone. */
  where?: string;
  /** What the program said as it ended; absent of a restricted crash. */
  message?: string;
  /** Where in its files it happened, hashed. */
  site?: string;
  /** Functions in which it happened; absent of a restricted crash, as `where` is. */
  signature?: string;
  /** Where it happened, as far as the node could tell before it read the stack. */
  place?: string;
  coreBytes?: number;
  bundleBytes?: number;
  complete?: boolean;
  truncatedBy?: string;
  /** Why nothing more is known: the code and the message of what went wrong with this bundle. */
  error?: { code: string; message: string };
}

/** Summarise a manifest. */
export function summarise(manifest: Manifest, bundle: string, bundleBytes?: number): Summary {
  const exe = manifest.process.exe ?? manifest.process.comm;
  const [summary, where] = [crashLine(manifest), crashPlace(manifest)];
  const { site, signature } = crashKeys(manifest);
  const { count, firstAt } = crashCount(manifest);
  const { namespace, name: pod } = manifest.pod ?? {};
  return {
    bundle,
    ...(manifest.crashId === "" ? {} : { crashId: manifest.crashId }),
    ...(manifest.crashedAt === "" ? {} : { crashedAt: manifest.crashedAt }),
    ...(manifest.counted === undefined ? {} : { count, firstAt }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(pod === undefined ? {} : { pod }),
    ...(manifest.container?.name === undefined ? {} : { container: manifest.container.name }),
    ...(manifest.pod?.owner === undefined ? {} : { workload: manifest.pod.owner.name }),
    ...(manifest.container?.imageRef === undefined ? {} : { image: manifest.container.imageRef }),
    ...(manifest.node.nodeName === undefined ? {} : { node: manifest.node.nodeName }),
    ...(manifest.container?.restartCount === undefined ? {} : { restarts: manifest.container.restartCount }),
    ...(exe === undefined ? {} : { exe }),
    ...(manifest.signal.name === "" ? {} : { signal: manifest.signal.name }),
    ...(summary === "" ? {} : { summary }),
    ...(where === undefined ? {} : { where }),
    ...(manifest.message === undefined || isRestricted(manifest) ? {} : { message: manifest.message.text }),
    ...(site === undefined ? {} : { site }),
    ...(signature === undefined || isRestricted(manifest) ? {} : { signature }),
    ...(manifest.place === undefined ? {} : { place: manifest.place }),
    ...(isSizeKnown(manifest) ? { coreBytes: manifest.core.sizeBytes } : {}),
    ...(bundleBytes === undefined ? {} : { bundleBytes }),
    ...(isCompletenessKnown(manifest) ? { complete: manifest.core.complete } : {}),
    ...(manifest.core.truncatedBy === undefined ? {} : { truncatedBy: manifest.core.truncatedBy }),
  };
}

/** Choose summaries: each given wish must hold. */
export interface SummaryFilter {
  namespace?: string | undefined;
  pod?: string | undefined;
  workload?: string | undefined;
  container?: string | undefined;
  image?: string | undefined;
  node?: string | undefined;
  /** Full name, `SIGSEGV`. */
  signal?: string | undefined;
  exe?: string | undefined;
  /** Epoch milliseconds, inclusive. */
  since?: number | undefined;
  until?: number | undefined;
}

/** Tell whether a summary is wanted. Pod, workload, image and executable match any part of the name; a bundle that cannot be read matches only when nothing is asked for. */
export function matches(summary: Summary, filter: SummaryFilter): boolean {
  const time = summary.crashedAt === undefined ? undefined : Date.parse(summary.crashedAt);
  const tests: (boolean | undefined)[] = [
    filter.namespace === undefined ? true : (summary.namespace ?? "") === filter.namespace,
    filter.pod === undefined ? true : summary.pod?.includes(filter.pod),
    filter.workload === undefined ? true : summary.workload?.includes(filter.workload),
    filter.container === undefined ? true : summary.container === filter.container,
    filter.image === undefined ? true : summary.image?.includes(filter.image),
    filter.node === undefined ? true : summary.node === filter.node,
    filter.signal === undefined ? true : summary.signal === filter.signal,
    filter.exe === undefined ? true : summary.exe?.includes(filter.exe),
    filter.since === undefined ? true : time !== undefined && time >= filter.since,
    filter.until === undefined ? true : time !== undefined && time <= filter.until,
  ];
  return tests.every((test) => test === true);
}

/** Order newest first; those without a time come last, by name. */
export function newestFirst(left: Summary, right: Summary): number {
  const [ours, theirs] = [left.crashedAt ?? "", right.crashedAt ?? ""];
  if (ours !== theirs) return ours > theirs ? -1 : 1;
  return bundlesFirst(left.bundle, right.bundle);
}

/** Order crashes of the same moment: a bundle before the core that was unpacked from it, then by name. */
export function bundlesFirst(left: string, right: string): number {
  const [isBundle, isOther] = [left.endsWith(".zip"), right.endsWith(".zip")];
  if (isBundle !== isOther) return isBundle ? -1 : 1;
  return left < right ? -1 : 1;
}
