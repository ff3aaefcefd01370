import { BASE_PATH, GROUP, KIND, LINK_KIND, LIST_KIND, VERSION_NAME } from "../group.ts";
import { VERSION } from "../version.ts";
import type { Json } from "./coredump.ts";
import { OPERATIONS, type ApiOperation } from "./operations.ts";
import { objectSchemas } from "./schema.ts";

/** Schema names begin so, as Kubernetes' own do: the domain, backwards. */
const PREFIX = `dev.core-dump-handler.${VERSION_NAME}.`;
const TAG = `coreDumpHandlerDev_${VERSION_NAME}`;
const INFO = { title: "core-dump-handler", version: VERSION };

const kindOf = (kind: string): Json => ({ group: GROUP, version: VERSION_NAME, kind });

function schemas(ref: (name: string) => Json): Json {
  const objects = objectSchemas(ref);
  const withKind = Object.entries(objects).map(([name, schema]) => [
    `${PREFIX}${name}`,
    [KIND, LIST_KIND, LINK_KIND].includes(name)
      ? { ...schema, "x-kubernetes-group-version-kind": [kindOf(name)] }
      : schema,
  ]);
  return Object.fromEntries(withKind) as Json;
}

function common(operation: ApiOperation): Json {
  return {
    operationId: operation.id,
    description: operation.description,
    tags: [TAG],
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": kindOf(operation.kind),
  };
}

function byPath(render: (operation: ApiOperation) => Json): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: render(operation) };
  }
  return paths;
}

/** The document in OpenAPI 2, which older kubectl and the aggregator read. */
export function openApiV2(): Json {
  const ref = (name: string): Json => ({ $ref: `#/definitions/${PREFIX}${name}` });
  return {
    swagger: "2.0",
    info: INFO,
    paths: byPath((operation) => ({
      ...common(operation),
      schemes: ["https"],
      consumes: [operation.bodyType ?? "*/*"],
      produces: typeof operation.answer === "string" ? ["application/json"] : operation.answer,
      parameters: [
        ...operation.parameters.map(({ name, in: where, type, description }) => ({
          name,
          in: where,
          type,
          description,
          ...(where === "path" ? { required: true } : {}),
        })),
        ...(operation.body === undefined
          ? []
          : [{ name: "body", in: "body", required: true, schema: ref(operation.body) }]),
      ],
      responses: {
        [operation.status]: {
          description: "done",
          ...(typeof operation.answer === "string" ? { schema: ref(operation.answer) } : {}),
        },
        401: { description: "Unauthorized" },
      },
    })),
    definitions: schemas(ref),
  };
}

/** The document in OpenAPI 3. */
export function openApiV3(): Json {
  const ref = (name: string): Json => ({ $ref: `#/components/schemas/${PREFIX}${name}` });
  return {
    openapi: "3.0.0",
    info: INFO,
    paths: byPath((operation) => ({
      ...common(operation),
      parameters: operation.parameters.map(({ name, in: where, type, description }) => ({
        name,
        in: where,
        description,
        schema: { type },
        ...(where === "path" ? { required: true } : {}),
      })),
      ...(operation.body === undefined
        ? {}
        : {
            requestBody: { content: { [operation.bodyType ?? "application/json"]: { schema: ref(operation.body) } } },
          }),
      responses: {
        [operation.status]: { description: "done", content: contentOf(operation.answer, ref) },
        401: { description: "Unauthorized" },
      },
    })),
    components: { schemas: schemas(ref) },
  };
}

function contentOf(answer: ApiOperation["answer"], ref: (name: string) => Json): Json {
  if (typeof answer === "string") return { "application/json": { schema: ref(answer) } };
  return Object.fromEntries(answer.map((type) => [type, {}]));
}

/** Where OpenAPI 3 documents are. */
export function openApiV3Index(): Json {
  const path = BASE_PATH.slice(1);
  return { paths: { [path]: { serverRelativeURL: `/openapi/v3/${path}?hash=${VERSION}` } } };
}
