import { existsSync } from "node:fs";
import { CdhCommand } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { modulesToAsk, tellOpensWith } from "@cdh/core/debug-files/opens-with";
import { reasonOf } from "@cdh/core/errors";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import { printable } from "@cdh/core/output";
import type { Report } from "@cdh/core/report/report";
import type { ObjectStore } from "@cdh/core/store/store";
import { openCommandsOf } from "../debug/open-commands.ts";
import { removeUnusedSymbols } from "../debug/remove-unused-symbols.ts";
import { SymbolCache, symbolCacheFolder } from "../debug/symbol-cache.ts";
import { partsOfAny, SymbolFiles } from "../debug/symbol-files.ts";
import { openBucket } from "../find/bucket.ts";
import { findCoreDump } from "../find/in-cluster.ts";
import { tryParseGroup } from "../find/in-group.ts";
import { parseLocation } from "../find/location.ts";
import { findAll, findGroup, findOne, type Found, type PlaceOpeners } from "../find/places.ts";
import { findSymbolPlaces } from "../find/symbol-places.ts";
import { KubeClient } from "../kube/client.ts";
import { pathOf, type CoreDump } from "../kube/coredumps.ts";
import { readKubeconfig } from "../kube/kubeconfig.ts";
import { clusterUrl, isPlugin } from "../kube/plugin.ts";
import { openFile, type OpenedFile } from "../read/opened-file.ts";
import { choosePaint, type Paint } from "../text/paint.ts";

/** What `--symbols` of several commands takes. */
export const SYMBOLS_HELP = "a store to take files by build-id from, besides the bundle's own and STORE_URL";

/** A report does not wait longer for the stores of its files to be found. */
const PLACES_TIMEOUT_MS = 5000;

/** Base of every command that reads bundles. */
export abstract class InspectCommand extends CdhCommand {
  readonly #stores = new Map<string, Promise<ObjectStore>>();
  readonly #openers: PlaceOpeners = { bucket: (url) => this.#openBucket(url), cluster: () => this.cluster() };
  readonly #placeOpeners = { store: (url: string) => this.#openBucket(url), cluster: () => this.cluster() };
  #cluster: Promise<KubeClient> | undefined;

  kubeconfig = textFlag("--kubeconfig", "FILE", "for kube://: file; KUBECONFIG or ~/.kube/config");
  kubeContext = textFlag("--context", "NAME", "for kube://: name of the kubeconfig's context");
  namespace = textFlag("-n,--namespace", "NAMESPACE", "for kube://: namespace; the context's when left out");

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
  placeOf(typed: string): string {
    // As `ls` writes a name that begins so, lest it be taken for an option.
    const text = /^\.\/-[^/\\]*$/.test(typed) && !existsSync(typed) ? typed.slice("./".length) : typed;
    if (isPlugin(this.context.program)) return clusterUrl(text, this.namespace);
    const isCount = /^~\d{1,6}$/.test(text);
    const place = this.context.env["STORE_URL"] ?? "";
    if (place === "") return isCount ? `./${text}` : text;
    if (/[/\\]|^\.{0,2}$/.test(text) || (!isCount && existsSync(text))) return text;
    return `${place.replace(/\/$/, "")}/${text}`;
  }

  /** Find every bundle in a place. */
  findAll(place: string, group?: string): Promise<Found[]> {
    return findAll(this.placeOf(place), this.#openers, this.context.stopSignal, group);
  }

  /** Do something with the bundle that a person means, and close it whatever happens. */
  async withOpened<Result>(text: string, work: (opened: OpenedFile) => Promise<Result>): Promise<Result> {
    const tell = (one: Found): void => this.tellPart(text, one);
    const found = await findOne(this.placeOf(text), this.#openers, this.context.stopSignal, tell);
    const opened = await openFile(await found.open(), {
      modifiedAt: found.modifiedAt,
      signal: this.context.stopSignal,
    });
    try {
      return await work(opened);
    } finally {
      await opened.close();
    }
  }

  /** Find the group that a person named; undefined when the text names none. @throws {CdhError} CDH_NOT_FOUND */
  async tryFindGroup(text: string): Promise<CrashGroup | undefined> {
    const place = this.placeOf(text);
    const named = tryParseGroup(place);
    if (named === undefined) return undefined;
    return (await findGroup(named, this.#openers, this.context.stopSignal)).group;
  }

  /** Find the crash of a cluster that a person means; undefined when the text means no cluster. @throws {CdhError} */
  async clusterDump(text: string): Promise<CoreDump | undefined> {
    const location = parseLocation(this.placeOf(text));
    if (location.kind !== "kube") return undefined;
    const { stopSignal: signal } = this.context;
    return await findCoreDump(await this.cluster(), location, signal, (found) => this.tellPart(text, found));
  }

  /** Get the report that a cluster's API makes itself: a few KiB, whatever the bundle holds. @throws {CdhError} */
  async clusterReport({ namespace, name }: CoreDump, deadline?: AbortSignal): Promise<Report> {
    const { stopSignal } = this.context;
    const signal = deadline === undefined ? stopSignal : AbortSignal.any([stopSignal, deadline]);
    const report = (await (await this.cluster()).json(pathOf(namespace, name, "report"), { signal })) as Report;
    return { ...report, bundle: `kube://${namespace}/${name}` };
  }

  /**
   * Find the files of a crash's program by build-id: in the store that the bundle came from, in STORE_URL's, and what is kept of them on this machine.
   * @param given stores that a person named
   */
  symbolsOf({ label }: Pick<OpenedFile, "label">, given: readonly string[]): SymbolFiles {
    const { env, clock } = this.context;
    const folder = symbolCacheFolder(env);
    return new SymbolFiles({
      cacheOf: (url) => new SymbolCache(folder, url, clock),
      places: async () => {
        await removeUnusedSymbols(folder, clock.now());
        return findSymbolPlaces(label, given, this.context, this.#placeOpeners);
      },
      warn: (text) => this.warn(text),
    });
  }

  /**
   * Add to a report with what a debugger opens the crash, where there is a store that may have its files. Looking ends within seconds,
   * and what it finds wrong is told in the report.
   */
  async withOpening(report: Report): Promise<Report> {
    const { env, stopSignal, clock } = this.context;
    const asked = modulesToAsk(report.manifest);
    if (report.opensWith !== undefined || asked.modules.length === 0) return report;
    const open = openCommandsOf(report.bundle, report.manifest);
    try {
      const places = await findSymbolPlaces(
        report.bundle,
        [],
        { env, clock, stopSignal: AbortSignal.any([stopSignal, AbortSignal.timeout(PLACES_TIMEOUT_MS)]) },
        this.#placeOpeners,
      );
      if (places.length === 0) return report;
      return { ...report, opensWith: await tellOpensWith(asked, partsOfAny(places), { signal: stopSignal }), open };
    } catch (error) {
      stopSignal.throwIfAborted();
      return { ...report, opensWith: { ...asked, trouble: reasonOf(error) }, open };
    }
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

  /** Whoever types a part of a name must see whose crash it is. */
  tellPart(text: string, { label, about }: Found): void {
    if (about !== undefined) this.warn(`${text} is taken for ${label} (${about})`);
  }

  #openBucket(url: string): Promise<ObjectStore> {
    const known = this.#stores.get(url) ?? openBucket(url, this.context);
    this.#stores.set(url, known);
    return known;
  }
}
