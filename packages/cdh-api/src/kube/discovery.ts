import {
  GROUP,
  GROUP_KIND,
  GROUP_RESOURCE,
  GROUP_SHORT_NAME,
  GROUP_SINGULAR,
  GROUP_VERSION,
  KIND,
  RESOURCE,
  SHORT_NAME,
  SINGULAR,
  SUBRESOURCES as SUBRESOURCE_NAMES,
  VERSION_NAME,
} from "../group.ts";
import { ROUTES } from "../routes.ts";
import type { Json } from "./json.ts";

/** A resource as discovery names it. */
interface Discovered {
  name: string;
  singular: string;
  short: string;
  kind: string;
  verbs: string[];
  subresources: { name: string; kind: string; verbs: string[] }[];
}

const RESOURCES: readonly Discovered[] = [
  {
    name: RESOURCE,
    singular: SINGULAR,
    short: SHORT_NAME,
    kind: KIND,
    verbs: verbsOf(RESOURCE),
    subresources: SUBRESOURCE_NAMES.map((name) => {
      const routes = advertised(RESOURCE, name);
      return { name, kind: routes[0]?.kind ?? KIND, verbs: routes.map(({ verb }) => verb) };
    }),
  },
  {
    name: GROUP_RESOURCE,
    singular: GROUP_SINGULAR,
    short: GROUP_SHORT_NAME,
    kind: GROUP_KIND,
    verbs: verbsOf(GROUP_RESOURCE),
    subresources: [],
  },
];

function verbsOf(resource: string): string[] {
  return [...new Set(advertised(resource, undefined).map(({ verb }) => verb))].sort();
}

function advertised(resource: string, subresource: string | undefined): { verb: string; kind: string }[] {
  return ROUTES.flatMap(({ kubernetes, right }) =>
    kubernetes?.isAdvertised === true &&
    "verb" in right &&
    (right.resource ?? RESOURCE) === resource &&
    right.subresource === subresource
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
    resources: RESOURCES.flatMap(({ name, singular, short, kind, verbs, subresources }) => [
      { name, singularName: singular, namespaced: true, kind, verbs, shortNames: [short] },
      ...subresources.map((part) => ({
        name: `${name}/${part.name}`,
        singularName: "",
        namespaced: true,
        kind: part.kind,
        verbs: part.verbs,
      })),
    ]),
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
            resources: RESOURCES.map(({ name, singular, short, kind, verbs, subresources }) => ({
              resource: name,
              responseKind: kindOf(kind),
              scope: "Namespaced",
              singularResource: singular,
              shortNames: [short],
              verbs,
              subresources: subresources.map((part) => ({
                subresource: part.name,
                responseKind: kindOf(part.kind),
                verbs: part.verbs,
              })),
            })),
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
