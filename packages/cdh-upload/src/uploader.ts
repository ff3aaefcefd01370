import { join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import { STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { Failures } from "./failures.ts";
import { Attempts } from "./queue/attempts.ts";
import { HOST_NAMESPACE, podOf, readBundleFacts, type BundleFacts } from "./queue/bundle-facts.ts";
import { Lane } from "./queue/lane.ts";
import { Queue, type QueueItem } from "./queue/queue.ts";
import { secureSpool } from "./queue/secure-spool.ts";
import { Seen } from "./queue/seen.ts";
import { scanSpool, type SpoolFile, type SpoolScan } from "./queue/spool-scan.ts";
import { routeOf, type Route } from "./rules/routes.ts";
import { DEFAULT_RULE } from "./rules/rules-file.ts";
import type { PodCompleter } from "./send/pod-facts.ts";
import { uploadBundle, type UploadedBundle } from "./send/upload-bundle.ts";
import type { UploadSettings } from "./settings.ts";
import type { Outcome, UploadEvents } from "./tell/events.ts";
import { errorFields, UploadLog } from "./tell/upload-log.ts";

const [ATTEMPTS, SEEN] = ["upload-attempts.json", "upload-seen.json"] as const;

/** What the uploader works with. */
export interface UploaderOptions {
  settings: UploadSettings;
  /** Where everything goes that no rule sends elsewhere. */
  store: ObjectStore;
  routes?: readonly Route[] | undefined;
  board?: NoticeBoard | undefined;
  completePod?: PodCompleter | undefined;
  clock: Clock;
  log: Logger;
  events?: UploadEvents;
}

/** Move bundles from the spool to their stores. Scanning and sending are separate: whoever calls decides when to look. */
export class Uploader {
  readonly queue = new Queue();
  /** The default store's first. */
  readonly lanes: readonly Lane[];
  readonly #options: UploaderOptions;
  readonly #state: string;
  #attempts: Attempts;
  #seen: Seen;
  #recalled = false;
  readonly #running = new Set<Promise<void>>();
  readonly #words: UploadLog;
  readonly #failures: Failures;

  /** Make one that reads what is remembered in the spool at its first look: a spool that hangs holds up nothing else. */
  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#state = join(options.settings.coreDir, STATE_DIRECTORY);
    this.#attempts = Attempts.empty(join(this.#state, ATTEMPTS));
    this.#seen = Seen.empty(join(this.#state, SEEN));
    this.#words = new UploadLog(options.log);
    const { settings, store, board, routes = [], clock, events } = options;
    const { uploadConcurrency } = settings;
    this.lanes = [
      new Lane({ name: DEFAULT_RULE, store, board, concurrency: uploadConcurrency }, clock),
      ...routes.map(
        ({ rule, store: own }) => new Lane({ name: rule.name, store: own, concurrency: rule.concurrency }, clock),
      ),
    ];
    this.#failures = new Failures({
      settings,
      clock,
      queue: this.queue,
      attempts: () => this.#attempts,
      events,
      answered: (lane) => this.#answered(lane),
      stateTrouble: (error) => this.#stateTrouble(error),
    });
  }

  /** Make an uploader with what is remembered in the spool. */
  static async open(options: UploaderOptions): Promise<Uploader> {
    const uploader = new Uploader(options);
    await uploader.#recall();
    return uploader;
  }

  async #recall(): Promise<void> {
    if (this.#recalled) return;
    // A spool that cannot be looked at now is told by the look, again and again.
    await secureSpool(this.#options.settings.coreDir, this.#options.log, false).catch(() => {});
    [this.#attempts, this.#seen] = await Promise.all([
      Attempts.open(join(this.#state, ATTEMPTS)),
      Seen.open(join(this.#state, SEEN)),
    ]);
    this.#recalled = true;
  }

  /** Hold uploads of each lane back but for the first while the spool is looked at. @returns ends it when disposed of */
  beginLook(): Disposable {
    const looks = new DisposableStack();
    for (const lane of this.lanes) looks.use(lane.look.begin());
    return looks;
  }

  /** How many uploads are under way. */
  get running(): number {
    return this.#running.size;
  }

  /**
   * Look at the spool and put what is new into the queue.
   * @param options.moved called after each name and each bundle that was looked at
   * @param options.noticed called after each new bundle: the first need not wait for the thousandth
   * @param options.signal ends the look early: whoever stops need not wait for the thousandth either
   */
  async scan(options: { moved?: () => void; noticed?: () => void; signal?: AbortSignal } = {}): Promise<SpoolScan> {
    const { moved, noticed, signal } = options;
    const { settings, log } = this.#options;
    await this.#recall();
    await secureSpool(settings.coreDir, log, true);
    const scan = await scanSpool(settings.coreDir, moved);
    const { files } = scan;
    const there = new Set(files.map((file) => file.fileName));
    this.#seen.mindClock(this.#options.clock.now());
    for (const item of this.queue.items()) {
      if (!item.running && !there.has(item.file.fileName)) this.queue.remove(item.file.fileName);
    }
    using _look = this.beginLook();
    for (const file of files) {
      if (signal?.aborted === true) return scan;
      if (await this.notice(file)) noticed?.();
      moved?.();
    }
    const names = new Set(files.map((file) => file.name));
    await Promise.all([this.#attempts.keepOnly(names), this.#seen.save()]).catch((error: unknown) =>
      this.#stateTrouble(error),
    );
    this.#words.leftAlone(scan);
    log.trace("looked at the spool", { bundles: files.length, waiting: this.queue.size });
    return scan;
  }

  /** Put one file into the queue, wherever it lies. @returns whether it is new there */
  async notice(file: SpoolFile): Promise<boolean> {
    const known = this.queue.get(file.fileName);
    if (known?.running === true) return false;
    const changed =
      known === undefined || known.file.sizeBytes !== file.sizeBytes || known.file.modifiedAt !== file.modifiedAt;
    if (!changed) return false;
    // What cannot be read now is judged when its turn comes.
    const facts = await readBundleFacts(file.path, file.name).catch(() => undefined);
    const namespace = facts?.namespace ?? HOST_NAMESPACE;
    const isNew = this.#seen.isNew(file) && known?.reported !== true;
    const reported = !isNew || facts !== undefined;
    this.queue.add({
      file,
      lane: this.#laneOf(facts).name,
      namespace,
      pod: facts === undefined ? "" : podOf(facts.manifest),
      notBefore: known?.notBefore ?? 0,
      failures: known?.failures ?? 0,
      running: false,
      reported,
      noticedAt: this.#options.clock.monotonic(),
      facts,
    });
    if (isNew && facts !== undefined) this.#options.events?.crashed?.(file, facts);
    return true;
  }

  /**
   * Begin as many uploads as may begin now.
   * @returns how many began
   */
  pump(signal: AbortSignal, onSettled: () => void = () => {}): number {
    return this.lanes.reduce((begun, lane) => begun + this.#pumpLane(lane, signal, onSettled), 0);
  }

  #pumpLane(lane: Lane, signal: AbortSignal, onSettled: () => void): number {
    let begun = 0;
    for (;;) {
      const item = lane.begin(this.queue, this.#options.clock.monotonic());
      if (item === undefined) return begun;
      const work = this.#work(item, lane, signal).finally(() => {
        this.#running.delete(work);
        lane.ended();
        onSettled();
      });
      this.#running.add(work);
      begun += 1;
      if (lane.circuit.isOpen) return begun;
    }
  }

  /** When something may begin that cannot now, in monotonic milliseconds. */
  nextMoment(): number | undefined {
    const now = this.#options.clock.monotonic();
    let next: number | undefined;
    for (const lane of this.lanes) {
      const moment = lane.nextMoment(this.queue);
      // What is due now begins with the next pump, and must not hide what another lane waits for.
      if (moment !== undefined && moment > now && (next === undefined || moment < next)) next = moment;
    }
    return next;
  }

  /** Wait until one of the uploads under way ends. */
  async oneEnds(): Promise<void> {
    await Promise.race(this.#running);
  }

  /** Wait for all uploads under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** The lane of a bundle. What cannot be read yet waits in the default one, and is judged again when its turn comes. */
  #laneOf(facts: BundleFacts | undefined): Lane {
    const { routes = [] } = this.#options;
    const route = routeOf(facts, routes);
    const [first] = this.lanes as [Lane, ...Lane[]];
    return route === undefined ? first : (this.lanes[1 + routes.indexOf(route)] ?? first);
  }

  async #work(item: QueueItem, lane: Lane, signal: AbortSignal): Promise<void> {
    const { clock, events } = this.#options;
    const { file } = item;
    const started = clock.monotonic();
    let facts: BundleFacts | undefined;
    let outcome: Outcome;
    try {
      facts = item.facts ?? (await readBundleFacts(file.path, file.name));
      if (this.#laneOf(facts) !== lane) return this.#changeLane(item, lane, facts);
      events?.began?.(file);
      const uploaded = await this.#send(file, facts, lane, signal);
      this.#answered(lane);
      this.queue.remove(file.fileName);
      await this.#attempts.forget(file.name).catch((error: unknown) => this.#stateTrouble(error));
      outcome = { status: "uploaded", file, uploaded, durationMs: clock.monotonic() - started };
    } catch (error) {
      const durationMs = clock.monotonic() - started;
      outcome = await this.#failures.judge({ item, lane, facts, error, isStopped: signal.aborted, durationMs });
    }
    item.running = false;
    const told = lane.rule === undefined ? outcome : { ...outcome, rule: lane.rule };
    this.#words.outcome(told);
    events?.ended?.(told);
  }

  #send(file: SpoolFile, facts: BundleFacts, lane: Lane, signal: AbortSignal): Promise<UploadedBundle> {
    const { settings, completePod, events } = this.#options;
    return uploadBundle(file, facts, {
      store: lane.store,
      board: lane.board,
      completePod,
      signal,
      keyTemplate: settings.keyTemplate,
      keepUploaded: settings.keepUploaded,
      nodeName: settings.nodeName,
      clusterName: settings.clusterName,
      onProgress: (sentBytes) => events?.progress?.(file, sentBytes),
    });
  }

  /** Only now it can be read, and belongs elsewhere. */
  #changeLane(item: QueueItem, lane: Lane, facts: BundleFacts): void {
    lane.circuit.undecided();
    this.queue.add({ ...item, lane: this.#laneOf(facts).name, namespace: facts.namespace, facts, running: false });
  }

  #answered(lane: Lane): void {
    if (!lane.circuit.succeeded()) return;
    const { rule } = lane;
    this.#options.log.info("the store answers again", rule === undefined ? {} : { rule });
    this.#options.events?.storeRecovered?.(rule);
    // Whoever waits because of the store need not wait any longer.
    for (const item of this.queue.items(lane.name)) if (!item.running) item.notBefore = 0;
  }

  #stateTrouble(error: unknown): void {
    this.#options.log.warn("cannot keep the state", errorFields(error));
  }
}
