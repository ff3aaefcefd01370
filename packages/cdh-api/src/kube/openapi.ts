import { BASE_PATH, GROUP, GROUP_KIND, GROUP_LIST_KIND, KIND, LINK_KIND, LIST_KIND, VERSION_NAME } from "../group.ts";
import type { KubernetesRoute, RouteAnswer, RouteParameter } from "../route/route.ts";
import { ROUTES, type NamedRoute } from "../routes.ts";
import { VERSION } from "../version.ts";
import { groupSchemas } from "./group-schema.ts";
import type { Json } from "./json.ts";
import { objectSchemas } from "./schema.ts";

/** Schema names begin so, as Kubernetes' own do: the domain, backwards. */
const PREFIX = `dev.core-dump-handler.${VERSION_NAME}.`;
const TAG = `coreDumpHandlerDev_${VERSION_NAME}`;
const INFO = { title: "core-dump-handler", version: VERSION };

/** A route of the Kubernetes API. */
type Operation = NamedRoute & { kubernetes: KubernetesRoute };

/** Routes that tools see; a watch is a parameter of the list. */
const OPERATIONS = ROUTES.filter(
  (route): route is Operation => route.kubernetes !== undefined && route.flag === undefined,
);

const kindOf = (kind: string): Json => ({ group: GROUP, version: VERSION_NAME, kind });

function schemas(ref: (name: string) => Json): Json {
  const objects = { ...objectSchemas(ref), ...groupSchemas(ref) };
  const withKind = Object.entries(objects).map(([name, schema]) => [
    `${PREFIX}${name}`,
    [KIND, LIST_KIND, LINK_KIND, GROUP_KIND, GROUP_LIST_KIND].includes(name)
      ? { ...schema, "x-kubernetes-group-version-kind": [kindOf(name)] }
      : schema,
  ]);
  return Object.fromEntries(withKind) as Json;
}

function common({ id, description, kubernetes }: Operation): Json {
  return {
    operationId: id,
    description,
    tags: [TAG],
    "x-kubernetes-action": kubernetes.action,
    "x-kubernetes-group-version-kind": kindOf(kubernetes.kind),
  };
}

function byPath(render: (operation: Operation) => Json): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] = { ...paths[operation.path], [operation.method.toLowerCase()]: render(operation) };
  }
  return paths;
}

function answersOf({ answers }: Operation, render: (answer: RouteAnswer) => Json): Json {
  return Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, render(answer)]));
}

/** The document in OpenAPI 2, which older kubectl and the aggregator read. */
export function openApiV2(): Json {
  const ref = (name: string): Json => ({ $ref: `#/definitions/${PREFIX}${name}` });
  const parameter = ({ name, in: where, type, description }: RouteParameter): Json => {
    return { name, in: where, type, description, ...(where === "path" ? { required: true } : {}) };
  };
  return {
    swagger: "2.0",
    info: INFO,
    paths: byPath((operation) => {
      const { body, bodyType } = operation.kubernetes;
      return {
        ...common(operation),
        schemes: ["https"],
        consumes: [bodyType ?? "*/*"],
        produces: Object.values(operation.answers).find(({ types }) => types !== undefined)?.types ?? [
          "application/json",
        ],
        parameters: [
          ...operation.parameters.map(parameter),
          ...(body === undefined ? [] : [{ name: "body", in: "body", required: true, schema: ref(body) }]),
        ],
        responses: answersOf(operation, ({ description, schema }) => ({
          description,
          ...(schema === undefined ? {} : { schema: ref(schema) }),
        })),
      };
    }),
    definitions: schemas(ref),
  };
}

/** The document in OpenAPI 3. */
export function openApiV3(): Json {
  const ref = (name: string): Json => ({ $ref: `#/components/schemas/${PREFIX}${name}` });
  return {
    openapi: "3.0.0",
    info: INFO,
    paths: byPath((operation) => {
      const { body, bodyType } = operation.kubernetes;
      return {
        ...common(operation),
        parameters: operation.parameters.map(parameterV3),
        ...(body === undefined
          ? {}
          : { requestBody: { content: { [bodyType ?? "application/json"]: { schema: ref(body) } } } }),
        responses: answersOf(operation, (answer) => answerV3(answer, ref)),
      };
    }),
    components: { schemas: schemas(ref) },
  };
}

/** Describe a parameter in OpenAPI 3. */
export function parameterV3({ name, in: where, type, description }: RouteParameter): Json {
  return { name, in: where, description, schema: { type }, ...(where === "path" ? { required: true } : {}) };
}

/** Describe an answer in OpenAPI 3. */
export function answerV3({ description, schema, isArray, types }: RouteAnswer, ref: (name: string) => Json): Json {
  if (schema !== undefined) {
    const object = isArray === true ? { type: "array", items: ref(schema) } : ref(schema);
    return { description, content: { "application/json": { schema: object } } };
  }
  return types === undefined
    ? { description }
    : { description, content: Object.fromEntries(types.map((type) => [type, {}])) };
}

/** Where OpenAPI 3 documents are. */
export function openApiV3Index(): Json {
  const path = BASE_PATH.slice(1);
  return { paths: { [path]: { serverRelativeURL: `/openapi/v3/${path}?hash=${VERSION}` } } };
}
