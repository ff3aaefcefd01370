import { tryParseBoundedJson } from "@cdh/core/bundle/bounded-json";
import type { Bundle } from "@cdh/core/bundle/reader";

/**
 * Name the pod's containers by their number in the bundle, from crictl's `ps`.
 * @returns holes and an empty list where it is not known
 */
export async function containerNames(bundle: Bundle): Promise<(string | undefined)[]> {
  const entry = bundle.findRole("ps-info");
  if (entry === undefined || entry.sizeBytes > 4 * 1024 * 1024) return [];
  const value = tryParseBoundedJson(await bundle.read(entry));
  const list = isRecord(value) && Array.isArray(value["containers"]) ? value["containers"] : [];
  return list.map((item: unknown) => {
    const metadata = isRecord(item) ? item["metadata"] : undefined;
    return isRecord(metadata) && typeof metadata["name"] === "string" ? metadata["name"] : undefined;
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
