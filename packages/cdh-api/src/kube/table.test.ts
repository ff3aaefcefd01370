import { expect, it } from "vitest";
import { makeRecord } from "../testing/record.ts";
import { dumpResource } from "./dump-resource.ts";
import { columnDefinitions, rowOf } from "./table.ts";

const DUMPS = dumpResource({ groups: { index: { idOf: () => undefined } } });
const M = 60_000;

it("a row has a cell for each column, and as much of the object as is wanted", () => {
  const record = makeRecord({ complete: false, truncatedBy: "rlimit", bundleBytes: undefined });
  for (const include of ["None", "Metadata", "Object"] as const) {
    const row = rowOf(DUMPS, record, { include, now: record.crashedAt + 5 * M }) as {
      cells: string[];
      object?: { kind: string };
    };
    expect(row.cells).toHaveLength(columnDefinitions(DUMPS).length);
    expect(row.object?.kind).toBe({ None: undefined, Metadata: "PartialObjectMetadata", Object: "CoreDump" }[include]);
    expect(row.cells.slice(6, 9)).toEqual(["rlimit", "5m", "pay() at pay.c:41 ← main()"]);
    expect(row.cells).toContain("missing");
  }
});
