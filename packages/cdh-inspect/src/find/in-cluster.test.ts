import { expect, it } from "vitest";
import type { KubeClient } from "../kube/client.ts";
import { groupText } from "../text/group-text.ts";
import { findGroupInCluster, findInCluster } from "./in-cluster.ts";

const ID = "bug-3f9a12bc07";
const GROUP = {
  metadata: { name: ID, namespace: "shop" },
  spec: { key: "signature", signature: "pay @ shop" },
  status: { count: 41, wholeCores: 0, firstSeen: "2026-10-01T00:00:00Z", lastSeen: "2026-10-02T00:00:00Z" },
};

it("a group of which no dump is there any more is shown, and none of its crashes can be opened", async () => {
  const asked: string[] = [];
  const json = (path: string): Promise<unknown> => {
    asked.push(path);
    return Promise.resolve(GROUP);
  };
  const client = { cluster: { namespace: "shop" }, json } as unknown as KubeClient;
  const { group, one } = await findGroupInCluster(client, {}, ID);
  expect(one).toBeUndefined();
  const text = groupText(group);
  expect(text).toContain("41, 0 with a whole core");
  expect(text).not.toMatch(/Shown|undefined/);
  const place = { kind: "kube" as const, name: ID };
  await expect(findInCluster(client, place, "one")).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
  expect(asked.filter((path) => !path.includes("/crashgroups/"))).toEqual([]);
});
