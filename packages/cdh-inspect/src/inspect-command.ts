import { existsSync } from "node:fs";
import { Option } from "clipanion";
import { CdhCommand } from "@cdh/core/cli";
import { printable } from "@cdh/core/output";
import type { Report } from "@cdh/core/report/report";
import type { ObjectStore } from "@cdh/core/store/store";
import { openBucket } from "./bucket.ts";
import { KubeClient } from "./kube/client.ts";
import { pathOf } from "./kube/coredumps.ts";
import { readKubeconfig } from "./kube/kubeconfig.ts";
import { clusterUrl, isPlugin } from "./kube/plugin.ts";
import { choosePaint, type Paint } from "./paint.ts";
import { parseLocation } from "./location.ts";
import { findCoreDump } from "./places/kube.ts";
import { findAll, findOne, type Found, type PlaceOpeners } from "./places.ts";
import { readSubject, type Subject } from "./subject.ts";

/** Base of every command that reads bundles. */
export abstract class InspectCommand extends CdhCommand {
  readonly #stores = new Map<string, Promise<ObjectStore>>();
  readonly #openers: PlaceOpeners = { bucket: (url) => this.#openBucket(url), cluster: () => this.cluster() };
  #cluster: Promise<KubeClient> | undefined;

  kubeconfig = Option.String("--kubeconfig", { description: "for kube://: file; KUBECONFIG or ~/.kube/config" });
  kubeContext = Option.String("--context", { description: "for kube://: name of the kubeconfig's context" });
  namespace = Option.String("-n,--namespace", { description: "for kube://: namespace; the context's when left out" });

  /** Open the cluster that the options and the kubeconfig mean. @throws {CdhError} CDH_CONFIG_INVALID */
  cluster(): Promise<KubeClient> {
    this.#cluster ??= readKubeconfig({ kubeconfig: this.kubeconfig, context: this.kubeContext }, this.context.env).then(
      (cluster) => new KubeClient(cluster),
    );
    return this.#cluster;
  }

  /**
   * Read what a person typed for a bundle. A bare name or number that is no file means the place that `ls` shows: STORE_URL, or the
   * current directory; to kubectl's plugin, the cluster.
   */
  placeOf(text: string): string {
    if (isPlugin(this.context.program)) return clusterUrl(text, this.namespace);
    const isCount = /^~\d{1,6}$/.test(text);
    const place = this.context.env["STORE_URL"] ?? "";
    if (place === "") return isCount ? `./${text}` : text;
    if (/[/\\]|^\.{0,2}$/.test(text) || (!isCount && existsSync(text))) return text;
    return `${place.replace(/\/$/, "")}/${text}`;
  }

  /** Find every bundle in a place. */
  findAll(place: string): Promise<Found[]> {
    return findAll(this.placeOf(place), this.#openers, this.context.stopSignal);
  }

  /** Do something with the bundle that a person means, and close it whatever happens. */
  async withSubject<Result>(text: string, work: (subject: Subject) => Promise<Result>): Promise<Result> {
    const found = await findOne(this.placeOf(text), this.#openers, this.context.stopSignal);
    const subject = await readSubject(await found.open(), {
      modifiedAt: found.modifiedAt,
      signal: this.context.stopSignal,
    });
    try {
      return await work(subject);
    } finally {
      await subject.close();
    }
  }

  /** Get the report that a cluster's API makes itself; undefined when the text means no cluster. @throws {CdhError} */
  async clusterReport(text: string): Promise<Report | undefined> {
    const location = parseLocation(this.placeOf(text));
    if (location.kind !== "kube") return undefined;
    const client = await this.cluster();
    const { stopSignal: signal } = this.context;
    const dump = await findCoreDump(client, location, signal);
    return (await client.json(pathOf(dump.namespace, dump.name, "report"), { signal })) as Report;
  }

  /** Colours for stdout, or none. */
  paint(): Paint {
    return choosePaint(this.context);
  }

  /** Tell a person something beside the result, on stderr. */
  warn(text: string): void {
    this.context.stderr.write(`${this.context.program}: ${printable(text)}\n`);
  }

  /** Write a finished text to stdout. */
  write(text: string): void {
    this.context.stdout.write(text);
  }

  override async execute(): Promise<number> {
    try {
      return await super.execute();
    } finally {
      for (const store of this.#stores.values()) await store.then((opened) => opened.close()).catch(() => {});
    }
  }

  #openBucket(url: string): Promise<ObjectStore> {
    const known = this.#stores.get(url) ?? openBucket(url, this.context);
    this.#stores.set(url, known);
    return known;
  }
}
