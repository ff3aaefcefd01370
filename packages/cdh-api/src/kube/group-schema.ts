import type { Json } from "./json.ts";
import { int, KINDS, list, object, text, texts, time } from "./schema-words.ts";

/** Shapes of groups. `ref` makes a reference. */
export function groupSchemas(ref: (name: string) => Json): Record<string, Json> {
  const seen = (description: string): Json => list(description, ref("CrashGroupSeen"));
  return {
    CrashGroup: object("CrashGroup is a bug: the crashes of one namespace that happened in the same functions.", {
      ...KINDS,
      metadata: object("Name, namespace, labels and times.", {
        name: text("The group's id, the same in every store: bug- and ten hexadecimal digits."),
        namespace: text("Namespace of the crashed pods."),
        uid: text("Unique for each group."),
        resourceVersion: text("Changes whenever the object does."),
        creationTimestamp: time("When the first of the crashes was."),
        labels: texts(
          "Below core-dump-handler.dev/: phase, signal, executable and workload; and state, which people set: open, resolved or muted.",
        ),
        annotations: texts(
          "Below core-dump-handler.dev/: resolved-in and note, which people set; state-by and state-at, who set them and when.",
        ),
      }),
      spec: ref("CrashGroupSpec"),
      status: ref("CrashGroupStatus"),
    }),
    CrashGroupSpec: object("What the crashes have in common.", {
      key: text("signature, site, or none where no stack is known."),
      signature: text("Functions in which it happens: the same in all builds."),
      site: text("Where in its files it happens, hashed: the same in one build."),
      program: text("Executable and signal, where no stack is known."),
    }),
    CrashGroupSeen: object("A value that crashes of the group have.", {
      name: text("The value."),
      count: int("Crashes with it."),
      firstSeen: time("When the first of these was."),
      lastSeen: time("When the last of these was."),
    }),
    CrashGroupStatus: object("How often, since when and where, of what the store holds.", {
      phase: text(
        "new for a day; regressed when it crashes after it was resolved; else what people say of it: open, resolved or muted.",
      ),
      summary: text("Why and where the newest crash was, in one line."),
      count: int("Crashes."),
      wholeCores: int("Crashes whose core is whole, of the dumps that are there."),
      countedOnly: int("Crashes without a core, because enough of that place were kept."),
      firstSeen: time("When the first crash was."),
      lastSeen: time("When the last crash was."),
      returnedAt: time("When it came back after a week or more in which it was not seen."),
      quietDays: int("For how many days it was not seen before."),
      signals: seen("Signals, the first seen first."),
      executables: seen("Executables, the first seen first."),
      workloads: seen("What owns the pods, the first seen first."),
      images: seen("Images; the first is the one in which it first appeared."),
      nodes: seen("Nodes, the first seen first."),
      days: list(
        "Crashes of each day that has some, the last ninety.",
        object("A day.", { date: text("The day in UTC."), count: int("Crashes of that day.") }),
      ),
      newest: text("Name of the newest crash."),
      newestWhole: text("Name of the newest crash whose core is whole."),
    }),
    CrashGroupList: {
      ...object("CrashGroupList is a list of CrashGroup, those seen last first in each namespace.", {
        ...KINDS,
        metadata: object("Where the list goes on.", {
          resourceVersion: text("What to watch from."),
          continue: text("Token for the next page."),
          remainingItemCount: int("How many are left."),
        }),
        items: list("The groups.", ref("CrashGroup")),
      }),
      required: ["items"],
    },
  };
}
