import { Option } from "clipanion";
import { defaultedFlag, formatFlag, textFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { signalName, tryParseSignal } from "@cdh/core/signals";
import type { Found } from "../find/found.ts";
import { summariseAll } from "../find/list.ts";
import { parseLocation } from "../find/location.ts";
import { clusterUrl, isPlugin } from "../kube/plugin.ts";
import { matches, type Summary, type SummaryFilter } from "../read/summary.ts";
import { parseTime } from "../text/parse-time.ts";
import { InspectCommand } from "./inspect-command.ts";

/** What a place holds, and what of it is wanted. */
export interface Listed {
  place: string;
  /** Bundles in it. */
  found: number;
  all: Summary[];
  wanted: Summary[];
  unreadable: Summary[];
}

/** Between two looks; where a look takes long, so many times that. */
const WATCH_MS = 2000;
const WATCH_DUTY = 10;

/** Base of the commands that look at many crashes: where, and which of them. */
export abstract class ListingCommand extends InspectCommand {
  /** Bundles that were there at the last look. */
  #seen: ReadonlySet<string> = new Set();

  place = Option.String({ required: false, name: "PLACE" });
  output = formatFlag();
  override namespace = textFlag("-n,--namespace", "NAMESPACE", "pod's namespace");
  kube = Option.Boolean("--kube", false, {
    description: "the cluster's, as cdh-api shows them: PLACE kube://NAMESPACE",
  });
  allNamespaces = Option.Boolean("-A,--all-namespaces", false, { description: "with --kube: of every namespace" });
  pod = textFlag("--pod", "POD", "any part of the pod's name");
  workload = textFlag("--workload", "WORKLOAD", "any part of the name of what owns the pod: a deployment, a job");
  container = textFlag("--container", "CONTAINER", "container's name");
  image = textFlag("--image", "IMAGE", "any part of the image's name: shop:1.8");
  node = textFlag("--node", "NODE", "node's name");
  signal = textFlag("--signal", "SIGNAL", "SIGSEGV, segv or 11");
  exe = textFlag("--exe", "FILE", "any part of the executable's path");
  since = textFlag("--since", "TIME", "a time, or how long ago: 2026-11-21T08:00:00Z, 2h, 7d");
  until = textFlag("--until", "TIME", "likewise");
  limit = defaultedFlag("--limit", "NUMBER", "0", "only so many; 0 shows all");

  /** Where to look: PLACE, else the cluster, STORE_URL or the current directory. */
  where(): string {
    if (this.kube || isPlugin(this.context.program))
      return this.allNamespaces ? "kube://*" : clusterUrl(this.place ?? "", this.namespace);
    return this.place ?? (this.context.env["STORE_URL"] || ".");
  }

  /** Summarise what is there. @param group of a cluster only this one's are asked for @throws {CdhError} */
  async loadWanted(group?: string): Promise<Listed> {
    const filter = this.#filter();
    const place = this.where();
    const found = await this.findAll(place, group);
    this.#seen = new Set(found.map(stateKey));
    const all = await summariseAll(found);
    const wanted = all.filter((summary) => matches(summary, filter));
    const unreadable = all.filter((summary) => summary.error !== undefined);
    return { place, found: found.length, all, wanted, unreadable };
  }

  /**
   * Look again and again at what {@link loadWanted} has looked at, until told to stop: gives what is new there, and what of it is
   * wanted. A look that fails is told, once for each reason.
   * @throws the stop signal's reason
   */
  async *watchMore(group?: string): AsyncGenerator<{ more: Summary[]; wanted: Summary[] }, never> {
    const { clock, stopSignal } = this.context;
    let [waitMs, trouble] = [WATCH_MS, ""];
    for (;;) {
      await clock.sleep(waitMs, stopSignal);
      const began = clock.monotonic();
      try {
        const found = await this.findAll(this.where(), group);
        const news = found.filter((one) => !this.#seen.has(stateKey(one)));
        this.#seen = new Set(found.map(stateKey));
        const more = await summariseAll(news);
        const filter = this.#filter();
        trouble = "";
        if (more.length > 0) yield { more, wanted: more.filter((summary) => matches(summary, filter)) };
      } catch (error) {
        stopSignal.throwIfAborted();
        if (!(error instanceof CdhError)) throw error;
        // What a place that is empty does not have yet may come.
        if (trouble !== error.message && error.code !== "CDH_NOT_FOUND") this.warn(`${error.message}; looking again`);
        trouble = error.message;
      }
      waitMs = Math.max(WATCH_MS, WATCH_DUTY * (clock.monotonic() - began));
    }
  }

  /** Whether it is a cluster's API that is looked at. */
  get isOfCluster(): boolean {
    return parseLocation(this.placeOf(this.where())).kind === "kube";
  }

  /** Whether nothing is asked for but a place. */
  get wantsAll(): boolean {
    return Object.values(this.#filter()).every((wish) => wish === undefined);
  }

  /** Read how many are wanted. @throws {CdhError} CDH_CONFIG_INVALID */
  readLimit(): number {
    const limit = Number(this.limit);
    if (!/^\d+$/.test(this.limit) || !Number.isSafeInteger(limit))
      throw new CdhError("CDH_CONFIG_INVALID", `--limit ${this.limit}: a number of lines`);
    return limit === 0 ? Number.POSITIVE_INFINITY : limit;
  }

  /** Tell which bundles could not be read, and why. */
  warnOf(unreadable: readonly Summary[]): void {
    for (const { bundle, error } of unreadable) this.warn(`${bundle}: ${error?.message} (${error?.code})`);
  }

  #filter(): SummaryFilter {
    const now = this.context.clock.now();
    const number = this.signal === undefined ? undefined : tryParseSignal(this.signal);
    if (this.signal !== undefined && number === undefined)
      throw new CdhError("CDH_CONFIG_INVALID", `not a signal: ${this.signal}`);
    return {
      // Of a cluster's namespace, everything is wanted: crashes of hosts are in one that is no pod's.
      namespace: this.kube || isPlugin(this.context.program) ? undefined : this.namespace,
      pod: this.pod,
      workload: this.workload,
      container: this.container,
      image: this.image,
      node: this.node,
      exe: this.exe,
      signal: number === undefined ? undefined : signalName(number),
      since: this.since === undefined ? undefined : parseTime(this.since, now),
      until: this.until === undefined ? undefined : parseTime(this.until, now),
    };
  }
}

/** Tell one state of a bundle from another. */
function stateKey({ label, sizeBytes, modifiedAt }: Found): string {
  return JSON.stringify([label, sizeBytes, modifiedAt]);
}

/** Say that a listing is empty, and why. */
export function emptyMessage(found: number, place: string): string {
  return found === 0 ? `no bundles in ${place}\n` : `none of the ${found} bundles in ${place} is what was asked for\n`;
}
