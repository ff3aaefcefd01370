import { pipeline } from "node:stream/promises";
import { Command, Option } from "clipanion";
import { openCore } from "@cdh/core/bundle/core-reader";
import { openBundle } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import { EXIT_STATUS_HELP, isTerminal } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { CdhError, EXIT } from "@cdh/core/errors";
import { startProgress, type Progress } from "@cdh/core/progress";
import { opensWithText } from "@cdh/core/report/opening";
import { formatBytes } from "@cdh/core/units";
import { findCoreDump } from "../find/in-cluster.ts";
import { parseLocation } from "../find/location.ts";
import type { KubeClient } from "../kube/client.ts";
import { pathOf, type CoreDump } from "../kube/coredumps.ts";
import { downloadTo } from "../kube/download.ts";
import { clusterUrl } from "../kube/plugin.ts";
import { clusterSource } from "../kube/source.ts";
import { unpackCore } from "../unpack/unpack.ts";
import { InspectCommand } from "./inspect-command.ts";

/** What is said after a download is not waited for longer. */
const REPORT_TIMEOUT_MS = 10_000;

/** Download a bundle or a core from the cluster. */
export class GetCommand extends InspectCommand {
  static override paths = [["get"]];

  static override usage = Command.Usage({
    category: "Take out",
    description: "download a bundle, or with -d its core",
    details: `
      NAME is a crash's name, a pod or a workload (their newest crash), the beginning of a name or a part of a pod that only one has, or \`-1\`
      for the newest crash of the namespace, \`-2\` for the one before and so on; left out, the newest.

      A download that broke off goes on where it was: by itself while it runs, and with the same command later. A bundle's
      SHA-256 is compared with the server's, a core's with the manifest's. What a debugger shows of it, and the command that starts
      one, is told on stderr.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [
      ["The newest crash of the namespace", "$0 get -1"],
      ["A pod's newest core, for a debugger", "$0 get -d checkout-7d9f4-x2 -o core"],
      ["Into a pipe", "$0 get -n shop 3f2a -o - > crash.zip"],
    ],
  });

  name = Option.String({ required: false, name: "NAME" });
  output = textFlag("-o,--output", "FILE", "file; - for stdout; the bundle's own name when left out");
  core = Option.Boolean("-d,--decompress", false, { description: "the core, decompressed, instead of the bundle" });
  force = Option.Boolean("-f,--force", false, { description: "replace a file that is there" });

  override async run(): Promise<number> {
    const client = await this.cluster();
    const dump = await this.#find(client);
    const { manifest } = dump;
    const base = (dump.bundle || dump.name).replace(/\.zip$/, "").replaceAll("/", "_");
    const file = this.output ?? (this.core ? `${base}.core` : `${base}.zip`);
    if (file === "-") return this.#stream(client, dump);
    const total = this.core ? manifest.core.sizeBytes : dump.bundleBytes;
    const progress = startProgress(this.context.stderr, this.context.clock, this.core ? "core" : "bundle", total);
    let text: string;
    try {
      text = this.core
        ? await this.#unpack(client, dump, file, progress)
        : await this.#download(client, pathOf(dump.namespace, dump.name, "bundle"), file, progress);
    } finally {
      progress.end();
    }
    this.say(`${file}: ${text}`);
    if (this.core && !manifest.core.complete) this.warn("the core is not whole; show says why");
    await this.#tellOpening(dump);
    return EXIT.ok;
  }

  /** Say how to go on. Without the right to the report, or from an older server, there is nothing to say. */
  async #tellOpening(dump: CoreDump): Promise<void> {
    const { stopSignal } = this.context;
    const report = await this.clusterReport(dump, AbortSignal.timeout(REPORT_TIMEOUT_MS)).catch((error: unknown) => {
      stopSignal.throwIfAborted();
      if (error instanceof CdhError || (error as Error).name === "TimeoutError") return undefined;
      throw error;
    });
    const text = report?.opensWith === undefined ? undefined : opensWithText(report.opensWith);
    if (text === undefined || report?.open === undefined) return;
    this.warn(`a debugger opens it with ${text}`);
    this.warn(report.open.debug);
  }

  async #find(client: KubeClient): Promise<CoreDump> {
    const text = clusterUrl(this.name ?? "", this.namespace);
    const location = parseLocation(text);
    if (location.kind !== "kube")
      throw new CdhError("CDH_CONFIG_INVALID", `cannot download ${text}`, {
        hint: "a crash in the cluster: NAME or kube://namespace/name",
      });
    const { stopSignal } = this.context;
    return findCoreDump(client, location, stopSignal, (found) => this.tellPart(this.name ?? "", found));
  }

  async #download(client: KubeClient, path: string, file: string, progress: Progress): Promise<string> {
    const { stopSignal: signal, clock } = this.context;
    const done = await downloadTo(client, path, file, {
      force: this.force,
      signal,
      clock,
      onProgress: (doneBytes) => progress.update(doneBytes),
    });
    const resumed = done.resumedAtBytes === 0 ? "" : `, gone on from ${formatBytes(done.resumedAtBytes)}`;
    return `${formatBytes(done.sizeBytes)}${resumed}, SHA-256 ${done.sha256}${done.isVerified ? " as the server says" : ""}`;
  }

  /** The bundle's compressed frames are fewer bytes than the core; without the right to it, the server decompresses. */
  async #unpack(client: KubeClient, dump: CoreDump, file: string, progress: Progress): Promise<string> {
    const { stopSignal: signal } = this.context;
    const source = clusterSource(client, {
      path: pathOf(dump.namespace, dump.name, "bundle"),
      label: `kube://${dump.namespace}/${dump.name}`,
      sizeBytes: dump.bundleBytes,
    });
    let core;
    let sha256: string | undefined;
    try {
      const bundle = await openBundle(source);
      const manifest = await readManifest(bundle);
      sha256 = manifest?.core.sha256;
      core = await openCore(bundle, manifest);
    } catch (error) {
      if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED") throw error;
      return this.#download(client, pathOf(dump.namespace, dump.name, "core"), file, progress);
    }
    const done = await unpackCore(core, file, {
      force: this.force,
      sha256,
      signal,
      onProgress: (doneBytes) => progress.update(doneBytes),
    });
    const resumed = done.resumedAtBytes === undefined ? "" : `, gone on from ${formatBytes(done.resumedAtBytes)}`;
    const told = sha256 === undefined ? "" : " as the manifest says";
    return `${formatBytes(done.sizeBytes)}${resumed}, ${formatBytes(source.traffic.bytes)} downloaded, SHA-256 ${done.sha256}${told}`;
  }

  async #stream(client: KubeClient, dump: CoreDump): Promise<number> {
    const { stdout, stopSignal: signal } = this.context;
    if (isTerminal(stdout))
      throw new CdhError("CDH_CONFIG_INVALID", "this would go to a terminal", { hint: "-o FILE, or a pipe" });
    const part = this.core ? "core" : "bundle";
    const answer = await client.ask(pathOf(dump.namespace, dump.name, part), { headers: { accept: "*/*" }, signal });
    try {
      await pipeline(answer, stdout as NodeJS.WritableStream, { signal, end: false });
    } catch (error) {
      signal.throwIfAborted();
      throw new CdhError("CDH_STORE_UNREACHABLE", "the download broke off", { cause: error });
    }
    return EXIT.ok;
  }
}
