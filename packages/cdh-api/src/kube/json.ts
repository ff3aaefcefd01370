/** A JSON object. */
export type Json = Record<string, unknown>;

/** Write a time as Kubernetes does: RFC 3339 in UTC, whole seconds. */
export function kubeTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}
