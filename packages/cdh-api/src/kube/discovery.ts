import {
  GROUP,
  GROUP_VERSION,
  KIND,
  RESOURCE,
  SHORT_NAME,
  SINGULAR,
  SUBRESOURCES as SUBRESOURCE_NAMES,
  VERSION_NAME,
} from "../group.ts";
import { ROUTES } from "../routes.ts";
import type { Json } from "./coredump.ts";

/** Verbs of the resource that discovery names. */
const VERBS = [...new Set(advertised(undefined).map(({ verb }) => verb))].sort();

/** What is below one object. */
const SUBRESOURCES = SUBRESOURCE_NAMES.map((name) => {
  const routes = advertised(name);
  return { name, kind: routes[0]?.kind ?? KIND, verbs: routes.map(({ verb }) => verb) };
});

function advertised(subresource: string | undefined): { verb: string; kind: string }[] {
  return ROUTES.flatMap(({ kubernetes, right }) =>
    kubernetes?.isAdvertised === true && "verb" in right && right.subresource === subresource
      ? [{ verb: right.verb, kind: kubernetes.kind }]
      : [],
  );
}

const VERSION = { groupVersion: GROUP_VERSION, version: VERSION_NAME };

/** The group, for `/apis/GROUP`. */
export function apiGroup(): Json {
  return { kind: "APIGroup", apiVersion: "v1", name: GROUP, versions: [VERSION], preferredVersion: VERSION };
}

/** All groups that are here, for `/apis`. */
export function apiGroupList(): Json {
  const { kind: _kind, apiVersion: _version, ...group } = apiGroup();
  return { kind: "APIGroupList", apiVersion: "v1", groups: [group] };
}

/** The resources, for `/apis/GROUP/VERSION`. */
export function apiResourceList(): Json {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: GROUP_VERSION,
    resources: [
      {
        name: RESOURCE,
        singularName: SINGULAR,
        namespaced: true,
        kind: KIND,
        verbs: VERBS,
        shortNames: [SHORT_NAME],
      },
      ...SUBRESOURCES.map(({ name, kind, verbs }) => ({
        name: `${RESOURCE}/${name}`,
        singularName: "",
        namespaced: true,
        kind,
        verbs,
      })),
    ],
  };
}

/** Everything at once, in the newer form. @see https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery */
export function aggregatedDiscovery(version: "v2" | "v2beta1"): Json {
  const kindOf = (kind: string): Json => ({ group: GROUP, version: VERSION_NAME, kind });
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: [
      {
        metadata: { name: GROUP, creationTimestamp: null },
        versions: [
          {
            version: VERSION_NAME,
            freshness: "Current",
            resources: [
              {
                resource: RESOURCE,
                responseKind: kindOf(KIND),
                scope: "Namespaced",
                singularResource: SINGULAR,
                shortNames: [SHORT_NAME],
                verbs: VERBS,
                subresources: SUBRESOURCES.map(({ name, kind, verbs }) => ({
                  subresource: name,
                  responseKind: kindOf(kind),
                  verbs,
                })),
              },
            ],
          },
        ],
      },
    ],
  };
}

/** Find out whether the newer form is wanted; undefined when the older one is. */
export function wantedAggregation(accept: string | undefined): "v2" | "v2beta1" | undefined {
  for (const range of (accept ?? "").split(",")) {
    const compact = range.replaceAll(/\s/g, "");
    if (!compact.startsWith("application/json")) continue;
    if (!compact.includes("as=APIGroupDiscoveryList")) return undefined;
    if (compact.includes(";v=v2beta1")) return "v2beta1";
    if (compact.includes(";v=v2")) return "v2";
  }
  return undefined;
}
