import type { Json } from "../kube/json.ts";
import { answerV3, parameterV3 } from "../kube/openapi.ts";
import { ROUTES, type NamedRoute } from "../routes.ts";
import { VERSION } from "../version.ts";

/** Keys of a core that are texts. */
const TEXTS = [
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

/** Keys of a core that are whole numbers. */
const NUMBERS = [
  "COREDUMP_TIMESTAMP",
  "COREDUMP_PID",
  "COREDUMP_UID",
  "COREDUMP_GID",
  "COREDUMP_SIGNAL",
  "COREDUMP_RLIMIT",
  "COREDUMP_TRUNCATED",
];

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

/** Describe koredump's routes as OpenAPI 3. */
export function koredumpOpenApi(): Json {
  const paths: Record<string, Json> = {};
  for (const route of ROUTES.filter(({ isKoredumps }) => isKoredumps === true)) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: "3.0.0",
    info: { title: "core-dump-handler, REST", version: VERSION },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: {
        Core: {
          type: "object",
          required: ["id", "node"],
          properties: Object.fromEntries([
            ...TEXTS.map((name) => [name, { type: "string" }]),
            ...NUMBERS.map((name) => [name, { type: "integer", format: "int64" }]),
          ]) as Json,
        },
      },
    },
  };
}

function operationOf({ right, description, parameters, answers }: NamedRoute): Json {
  return {
    ...(right.asked === "open" ? { security: [] } : {}),
    description,
    parameters: parameters.map(parameterV3),
    responses: Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerV3(answer, ref)])),
  };
}
