import type { Problem } from "@cdh/core/bundle/manifest";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { Identity } from "@cdh/core/container/identify";
import type { Crictl } from "@cdh/core/container/crictl";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { Crash } from "@cdh/core/kernel/crash";
import type { Roots } from "@cdh/core/roots";
import type { ComposerSettings } from "./settings.ts";

/** Everything that is learnt beside the drain. Each promise resolves within METADATA_TIMEOUT and none rejects. */
export interface Collection {
  /** What /proc said; afterwards the process may go. */
  process: Promise<ProcessSnapshot>;
  /** Whether it was a container's process, known before the runtime is asked anything. */
  place: Promise<Identity["place"]>;
  /** Which pod and container. */
  identity: Promise<Identity>;
  /** The pod's labels for the selector; undefined when they can't be learnt or nobody asks for them. */
  labels: Promise<Record<string, string> | undefined>;
  /** IBM's entries: crictl's answers and the logs. Started when called, because a crash that isn't kept needs none. */
  enrich(): Promise<Enrichment>;
}

/** Start to learn about the crashed process and its pod. */
export function collect(options: {
  roots: Roots;
  crash: Crash;
  settings: ComposerSettings;
  exeDir: string;
  problems: Problem[];
}): Collection {
  const { roots, crash, settings, exeDir } = options;
  const signal = AbortSignal.timeout(settings.metadataTimeoutMs);
  // Loaded when they are needed: the first read of the core must not wait for them.
  const process = import("@cdh/core/container/process").then(({ snapshotProcess }) =>
    snapshotProcess({ roots, crash, includeEnviron: settings.includeProcInfo === "environ", signal }),
  );
  const crictl = once(() => findCrictlOnce(options, signal));
  const fromFiles = process.then(async (snapshot) => {
    const { identify } = await import("@cdh/core/container/identify");
    return { snapshot, identify, known: await identify({ roots, crash, process: snapshot, signal }) };
  });
  const identity = fromFiles.then(async ({ snapshot, identify, known }) => {
    // The node's own files tell nearly always; crictl is looked for only where they don't.
    if (known.source !== "none" || known.place === "host") return known;
    return identify({ roots, crash, process: snapshot, signal, ...given(await crictl()) });
  });
  const labels = identity.then(async (known) => {
    if (settings.podSelectorLabel === "" || known.place === "host") return undefined;
    const asked = await crictl();
    if (asked === undefined) return known.pod?.labels;
    const { readPodLabels } = await import("@cdh/core/container/enrich");
    const found = await readPodLabels({ identity: known, crictl: asked, signal });
    if ("value" in found) return found.value;
    options.problems.push({ step: "labels", code: found.missing, detail: found.detail });
    return undefined;
  });
  return {
    process,
    place: fromFiles.then(({ known }) => known.place),
    identity,
    labels,
    enrich: async () => {
      const { enrich } = await import("@cdh/core/container/enrich");
      const known = await identity;
      const asked = known.place === "host" ? undefined : await crictl();
      return enrich({ roots, identity: known, logLines: settings.logLength, signal, ...given(asked) });
    },
  };

  async function findCrictlOnce(
    { problems }: { problems: Problem[] },
    deadline: AbortSignal,
  ): Promise<Crictl | undefined> {
    if (settings.ignoreCrio || deadline.aborted) return undefined;
    const { findCrictl } = await import("@cdh/core/container/crictl");
    const found = await findCrictl({
      roots,
      exeDir,
      useConfig: settings.useCrioConf,
      timeoutMs: settings.metadataTimeoutMs,
    });
    if ("value" in found) return found.value;
    problems.push({ step: "crictl", code: found.missing, detail: found.detail });
    return undefined;
  }
}

function given(crictl: Crictl | undefined): { crictl?: Crictl } {
  return crictl === undefined ? {} : { crictl };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
