import type { Json } from "./json.ts";
import { flag, int, KINDS, list, object, text, texts, time } from "./schema-words.ts";

/** Shapes of dumps. `ref` makes a reference. */
export function objectSchemas(ref: (name: string) => Json): Record<string, Json> {
  const metadata = object("Name, namespace, labels and times.", {
    name: text("Opaque id of the dump."),
    namespace: text("Namespace of the crashed pod."),
    uid: text("Unique for each dump."),
    resourceVersion: text("Changes whenever the object does."),
    creationTimestamp: time("When it crashed."),
    labels: texts(
      "pod, container, signal, node, executable, workload and group below core-dump-handler.dev/, and keep.",
    ),
  });
  return {
    CoreDump: {
      ...object("CoreDump is a crash of a process, and the bundle in the store that holds its core.", {
        ...KINDS,
        metadata,
        spec: ref("CoreDumpSpec"),
        status: ref("CoreDumpStatus"),
      }),
    },
    CoreDumpSpec: object("What crashed, where, and how. Lists show a part; a single read shows everything.", {
      crashId: text("UUID of the crash."),
      crashedAt: time("When the kernel saw the crash."),
      composer: object("What wrote the bundle.", {
        version: text("Its version."),
        durationMs: int("How long it took."),
        drainMs: int("How long the crashed process was held."),
        maxRssBytes: int("Its peak memory."),
        take: object("How the core was taken.", {
          from: text("pipe: the kernel's; memory: the process's own."),
          as: text("raw: as it was, compressed afterwards; packed: compressed while it arrived, or held in memory."),
          reasons: list("Why not another way.", { type: "string" }),
          killed: flag("Whether it was ended by SIGKILL once all was read."),
        }),
      }),
      node: object("The node.", {
        nodeName: text("Its name."),
        clusterName: text("The cluster's name."),
        architecture: text("x64 or arm64."),
        kernelRelease: text("Its kernel."),
        bootId: text("Which boot it was."),
      }),
      process: object("The crashed process.", {
        pid: int("Its id on the host."),
        pidInNamespace: int("Its id in the container."),
        tid: int("The crashed thread."),
        uid: int("Its user."),
        gid: int("Its group."),
        comm: text("The kernel's name for it."),
        exe: text("Path of its executable."),
        exeBuildId: text("Build id of its executable."),
        cmdline: list("Its command line.", { type: "string" }),
        hostname: text("Its host name."),
        startedAt: time("When it was started."),
        rlimitCoreBytes: int("Its soft RLIMIT_CORE."),
        dumpMode: int("Its dump mode."),
      }),
      signal: object("The signal that ended it.", {
        number: int("Number."),
        name: text("Name, such as SIGSEGV."),
        code: int("si_code."),
        codeName: text("Name of the code, such as SEGV_MAPERR."),
        faultAddress: text("Address that was accessed, hexadecimal."),
        senderPid: int("Who sent it."),
        senderUid: int("Of which user."),
      }),
      core: object("The core.", {
        entry: text("Its entry in the bundle."),
        compression: text("zstd, deflate or none."),
        sizeBytes: int("Uncompressed bytes."),
        storedBytes: int("Bytes in the bundle."),
        sha256: text("Hash of the uncompressed core."),
        expectedBytes: int("What its program headers promise."),
        complete: flag("Whether every promised byte is there."),
        truncatedBy: text("What cut it."),
      }),
      container: object("The container.", {
        id: text("Its id."),
        name: text("Its name."),
        runtime: text("Its runtime."),
        imageRef: text("Its image."),
        imageId: text("The image's id."),
        restartCount: int("How often it was restarted before."),
      }),
      pod: object("The pod.", {
        name: text("Its name."),
        namespace: text("Its namespace."),
        uid: text("Its uid."),
        sandboxId: text("Its sandbox."),
        labels: texts("Its labels."),
        owner: object("What owns it.", { kind: text("Kind."), name: text("Name.") }),
      }),
      identity: object("How the pod was found out.", {
        source: text("oci-config, kubelet, crictl, hostname or none."),
        verified: flag("Whether that is proven."),
      }),
      restricted: flag("The process was not dumpable by its own user."),
      site: text("Where in its files it happened, hashed: the same for one bug in one build."),
      signature: text("Functions in which it happened: the same for one bug in all builds."),
      threads: list("Its threads and their registers.", {
        type: "object",
        properties: {
          tid: int("Its id."),
          crashed: flag("Whether it crashed."),
          registers: texts("Registers, hexadecimal."),
        },
      }),
      modules: list("Files that were mapped.", {
        type: "object",
        properties: {
          path: text("Path."),
          start: text("First address."),
          end: text("Behind the last address."),
          fileOffset: text("Where in the file it starts, when that is not the beginning."),
          buildId: text("Build id."),
        },
      }),
      placeUnknown: text("Why the place of its crash is not known, so that KEEP_PER_SITE keeps every core."),
      wholeCore: object("A crash of the same place whose core was taken whole, where this one's was not.", {
        crashId: text("Its id."),
        bundle: text("Its bundle."),
      }),
      counted: object("It stands for so many crashes of one place that a rate limit left out.", {
        count: int("How many."),
        first: time("When the first one was."),
        last: time("When the last one was."),
      }),
      suppressed: object("Crashes of the same workload that were counted and not kept.", {
        count: int("How many."),
        since: time("Since when."),
      }),
    }),
    CoreDumpStatus: object("What is in the store, and what it comes to.", {
      summary: text("Why and where it crashed, in one line."),
      where: text("The function that crashed and its callers, in one line."),
      bundle: object("The bundle.", {
        name: text("Its file name."),
        sizeBytes: int("Its size."),
        storedAt: time("When it was stored."),
      }),
      core: object("The core's sizes.", {
        sizeBytes: int("Uncompressed bytes."),
        storedBytes: int("Bytes in the bundle."),
        expectedBytes: int("What its program headers promise."),
      }),
      complete: flag("Whether the core is whole."),
      problemCount: int("How much could not be learnt."),
      problems: list("What could not be learnt, and why; only in a single read.", {
        type: "object",
        properties: { step: text("Where."), code: text("Stable code."), detail: text("Why.") },
      }),
    }),
    CoreDumpList: {
      ...object("CoreDumpList is a list of CoreDump, newest first in each namespace.", {
        ...KINDS,
        metadata: object("Where the list goes on.", {
          resourceVersion: text("What to watch from."),
          continue: text("Token for the next page."),
          remainingItemCount: int("How many are left."),
        }),
        items: list("The dumps.", ref("CoreDump")),
      }),
      required: ["items"],
    },
    CoreDumpLink: object("CoreDumpLink is a link that downloads without a login for a short while.", {
      ...KINDS,
      subresource: text("Asked for: bundle or core."),
      expiresInSeconds: int("Asked for: how long it works; LINK_LIFETIME at most."),
      url: text("The link. When it has no host it is on this server."),
      expiresAt: time("When it ends."),
    }),
  };
}
