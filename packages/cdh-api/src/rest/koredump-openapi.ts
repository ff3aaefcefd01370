import type { Json } from "../kube/coredump.ts";
import { VERSION } from "../version.ts";

/** Describe koredump's routes as OpenAPI 3. */
export function koredumpOpenApi(): Json {
  const text = { type: "string" };
  const number = { type: "integer", format: "int64" };
  const path = (name: string, description: string): Json => ({
    name,
    in: "path",
    required: true,
    description,
    schema: text,
  });
  const query = (name: string, description: string): Json => ({ name, in: "query", description, schema: text });
  const json = (schema: Json): Json => ({ content: { "application/json": { schema } } });
  const core = { $ref: "#/components/schemas/Core" };
  const one = [path("node", "The node, `_` when it is not known."), path("id", "The core's id.")];
  const refusals = {
    401: { description: "No token, or none for this server." },
    404: { description: "No such core, or not for this caller." },
    503: { description: "The store, or the cluster's API server, does not answer." },
  };
  const texts = [
    "id",
    "node",
    "pod",
    "container",
    "namespace",
    "image_name",
    "ARCH",
    "COREDUMP_SIGNAL_NAME",
    "COREDUMP_COMM",
    "COREDUMP_EXE",
    "COREDUMP_CMDLINE",
    "COREDUMP_HOSTNAME",
    "COREDUMP_FILENAME",
    "_HOSTNAME",
    "_BOOT_ID",
  ];
  const numbers = [
    "COREDUMP_TIMESTAMP",
    "COREDUMP_PID",
    "COREDUMP_UID",
    "COREDUMP_GID",
    "COREDUMP_SIGNAL",
    "COREDUMP_RLIMIT",
    "COREDUMP_TRUNCATED",
  ];
  return {
    openapi: "3.0.0",
    info: { title: "core-dump-handler, REST", version: VERSION },
    security: [{ token: [] }],
    paths: {
      "/apiv1/cores": {
        get: {
          description: "List cores, oldest first. Without a namespace: all, for who may list them all.",
          parameters: [query("namespace", "Only of this namespace."), query("pod", "Only of this pod.")],
          responses: {
            200: { description: "The cores.", ...json({ type: "array", items: core }) },
            401: refusals[401],
            403: { description: "The caller may not list that namespace." },
            503: refusals[503],
          },
        },
      },
      "/apiv1/cores/metadata/{node}/{id}": {
        get: { parameters: one, responses: { 200: { description: "The core.", ...json(core) }, ...refusals } },
      },
      "/apiv1/cores/download/{node}/{id}": {
        get: {
          description: "Download a core. Ranges, ETag and HEAD work.",
          parameters: [...one, query("decompress", "true: decompressed.")],
          responses: {
            200: { description: "The core.", content: { "application/octet-stream": {} } },
            206: { description: "A range of it." },
            ...refusals,
            415: { description: "It is not compressed." },
            416: { description: "Nothing of it is in that range." },
            429: { description: "Too many downloads at the same time." },
          },
        },
      },
      "/apiv1/cores/delete/{node}/{id}": {
        delete: {
          parameters: one,
          responses: { 200: { description: "It is gone.", ...json({ type: "object" }) }, ...refusals },
        },
      },
      "/health": {
        get: { security: [], responses: { 200: { description: "OK", content: { "text/plain": {} } } } },
      },
    },
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: {
        Core: {
          type: "object",
          required: ["id", "node"],
          properties: Object.fromEntries([
            ...texts.map((name) => [name, text]),
            ...numbers.map((name) => [name, number]),
          ]) as Json,
        },
      },
    },
  };
}
