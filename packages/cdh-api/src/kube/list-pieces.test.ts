import { expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { GroupIndex } from "../groups/group-index.ts";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import { makeRecord } from "../testing/record.ts";
import { GROUPS } from "./group-resource.ts";
import { listPieces } from "./read.ts";

it("whatever paths crashes choose, no more of a list than a few hundred KiB is one text", () => {
  const groups: GroupIndex = new GroupIndex({
    clock: systemClock,
    records: (namespace) => dumps.list(namespace),
    nextRevision: () => dumps.log.next(systemClock.now()),
  });
  const dumps = new DumpIndex(new ChangeLog(1), (change) => groups.follow(change));
  for (let at = 0; at < 40 * 100; at += 1) {
    const name = String(at).padStart(8, "0");
    const exe = `/${name}${"\x1b".repeat(4000)}`;
    const signature = `f${Math.floor(at / 100)} @ server`;
    const revision = dumps.log.next(systemClock.now());
    dumps.put(makeRecord({ stem: `shop/${name}`, name, revision, exe, signature, imageRef: exe, ownerName: exe }));
  }
  const page = groups.list("shop").map((group) => ({ group, state: undefined, phase: "open" as const }));
  expect(page.length).toBe(40);
  const shown = { form: "object", include: "Metadata", resource: GROUPS } as const;
  const pieces = [...listPieces(shown, {}, page, systemClock.now())];
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(1024 * 1024);
  const { items } = JSON.parse(pieces.join("")) as { items: { status: { count: number } }[] };
  expect(items.map(({ status }) => status.count)).toEqual(page.map(() => 100));
});
