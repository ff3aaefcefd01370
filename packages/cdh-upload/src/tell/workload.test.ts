import { describe, expect, it } from "vitest";
import { workloadOf } from "./workload.ts";

describe("workloadOf", () => {
  const manifest = (pod: object | undefined, comm = "sleep") =>
    ({ process: { comm }, ...(pod === undefined ? {} : { pod }) }) as Parameters<typeof workloadOf>[0];

  it.each([
    [{ name: "web-6d4cf56db6-x2x9z", owner: { kind: "ReplicaSet", name: "web-6d4cf56db6" } }, "web"],
    [{ name: "web-6d4cf56db6-x2x9z" }, "web"],
    [{ name: "db-0", owner: { kind: "StatefulSet", name: "db" } }, "db"],
    [{ name: "db-0" }, "db-0"],
    [{ name: "nightly-28300000", owner: { kind: "Job", name: "nightly-28300000" } }, "nightly-28300000"],
    [undefined, "sleep"],
  ])("names %j %s", (pod, wanted) => expect(workloadOf(manifest(pod))).toBe(wanted));
});
