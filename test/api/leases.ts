/** A Lease as the API server keeps it. */
export interface Lease {
  metadata: { name: string; resourceVersion: string };
  spec: { holderIdentity?: string; renewTime?: string; leaseTransitions?: number; leaseDurationSeconds?: number };
}

const PATH = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/;

/** The Leases of a cluster that is stood in for, with versions. */
export class Leases {
  readonly all = new Map<string, Lease>();
  #version = 1;

  /** Answer a request; undefined when it is about no Lease. */
  answer(method: string, path: string, body: Lease): { status: number; body: unknown } | undefined {
    const match = PATH.exec(path);
    if (match === null) return undefined;
    const name = match[2] ?? body.metadata.name;
    const there = this.all.get(name);
    const conflict = { kind: "Status", reason: "Conflict", code: 409 };
    if (method === "POST") {
      if (there !== undefined) return { status: 409, body: { ...conflict, reason: "AlreadyExists" } };
    } else if (there === undefined) {
      const status = { kind: "Status", reason: "NotFound", code: 404, details: { name, kind: "leases" } };
      return { status: 404, body: status };
    } else if (method === "GET") return { status: 200, body: there };
    else if (body.metadata.resourceVersion !== there.metadata.resourceVersion) return { status: 409, body: conflict };
    const lease = {
      metadata: { name, resourceVersion: String((this.#version += 1)) },
      spec: { ...there?.spec, ...body.spec },
    };
    this.all.set(name, lease);
    return { status: method === "POST" ? 201 : 200, body: lease };
  }
}
