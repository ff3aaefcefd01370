import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { FrameFacts, Manifest } from "@cdh/core/bundle/manifest";
import { crashesOfGroup, groupCrashes } from "@cdh/core/groups/crash-groups";
import { REPOSITORY } from "./repository.ts";

/** The stack of a crash whose bug is known. */
export interface LabelledStack {
  /** Program and number: crashes of one bug have the same. */
  bug: string;
  variant: string;
  stack: Pick<Manifest, "threads" | "modules">;
}

/** How often two crashes are told to be one bug: of those that are, and of those that are not. */
export interface Judgement {
  together: number;
  wrongly: number;
}

const KEPT = join(REPOSITORY, "test/fixtures/stacks/labelled.jsonl.gz");
/** Frames kept of each: more than any rule reads. */
const FRAMES = 40;

/** Keep of a manifest what tells of the bug, and nothing of the machine. */
export function keepStack(manifest: Manifest): LabelledStack["stack"] {
  const crashed = manifest.threads?.find((thread) => thread.crashed === true);
  const frames = crashed?.stack?.frames.slice(0, FRAMES) ?? [];
  const used = [...new Set(frames.flatMap(({ module }) => (module === undefined ? [] : [module])))];
  const modules = used.flatMap((index) => {
    const module = manifest.modules?.[index];
    const path = module?.path.slice(module.path.lastIndexOf("/")) ?? "";
    return module === undefined
      ? []
      : [{ path, start: "0x0", end: "0x0", ...(module.buildId === undefined ? {} : { buildId: module.buildId }) }];
  });
  const kept = frames.map(({ module, offset, function: name, inlined, signal }): FrameFacts => ({
    pc: "0x0",
    ...(module === undefined ? {} : { module: used.indexOf(module) }),
    ...(offset === undefined ? {} : { offset }),
    ...(name === undefined ? {} : { function: name }),
    ...(inlined === undefined ? {} : { inlined }),
    ...(signal === undefined ? {} : { signal }),
  }));
  const end = { kind: crashed?.stack?.end.kind ?? "limit" };
  return { threads: [{ tid: 1, crashed: true, registers: {}, stack: { frames: kept, end } }], modules };
}

/** Read the kept stacks of real crashes. */
export function readLabelledStacks(): LabelledStack[] {
  const lines = gunzipSync(readFileSync(KEPT)).toString("utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as LabelledStack);
}

/** Write the kept stacks anew. */
export function writeLabelledStacks(stacks: readonly LabelledStack[]): void {
  const order = ({ bug, variant }: LabelledStack): string => `${bug} ${variant}`;
  const sorted = stacks.toSorted((left, right) => (order(left) < order(right) ? -1 : 1));
  writeFileSync(KEPT, gzipSync(sorted.map((stack) => `${JSON.stringify(stack)}\n`).join(""), { level: 9 }));
}

/**
 * Tell by the rules of groups what each crash is: by its signature, and without one by the others of its site. A crash without a stack
 * is one by itself.
 */
export function groupsOf<Crash extends { bug: string; signature?: string | undefined; site?: string | undefined }>(
  crashes: readonly Crash[],
): { bug: string; key: string }[] {
  const all = crashes.map(({ bug, signature, site }, at) => ({
    bug,
    bundle: String(at),
    exe: `${at}`,
    ...(signature === undefined ? {} : { signature }),
    ...(site === undefined ? {} : { site }),
  }));
  return groupCrashes(all, all).flatMap(({ id }) => crashesOfGroup(all, id, all).map(({ bug }) => ({ bug, key: id })));
}

/** Compare each crash with each other. */
export function judgeKeys(crashes: readonly { bug: string; key: string }[]): Judgement {
  const pairs = { same: 0, found: 0, different: 0, mixed: 0 };
  for (const [index, one] of crashes.entries()) {
    for (const other of crashes.slice(index + 1)) {
      const isOne = Number(one.key === other.key);
      if (one.bug === other.bug) {
        pairs.same += 1;
        pairs.found += isOne;
      } else {
        pairs.different += 1;
        pairs.mixed += isOne;
      }
    }
  }
  return { together: pairs.found / pairs.same, wrongly: pairs.mixed / pairs.different };
}
