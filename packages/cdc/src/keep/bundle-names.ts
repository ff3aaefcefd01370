import type { Compression } from "@cdh/core/bundle/manifest";
import { renderName, type NameVariables, type RenderedName } from "@cdh/core/bundle/naming";
import { toRfc3339 } from "@cdh/core/clock";
import type { Identity } from "@cdh/core/container/identify";
import type { Crash } from "@cdh/core/kernel/crash";

/** What a bundle's name is made of. */
export interface NameFacts {
  crashId: string;
  crash: Crash;
  coreDir: string;
  nodeName: string;
  crashedAtMs: number;
  /** Absent when it could not be learnt in time. */
  identity?: Identity | undefined;
}

/** The variables that only the pod's identity can fill: with one of them, the name waits for it. */
const IDENTITY_VARIABLES = /\{\{?\s*(namespace|podname|container)\s*\}?\}/;

/** Tell whether a template can't be rendered before the pod is known. */
export function needsIdentity(template: string): boolean {
  return IDENTITY_VARIABLES.test(template);
}

/** Render the name `N` of the bundle and of its entries. */
export function nameBundle(template: string, facts: NameFacts): RenderedName {
  const { crash, identity } = facts;
  const unknown = "unknown";
  const variables: NameVariables = {
    uuid: facts.crashId,
    limit_size: crash.raw.c ?? "",
    exe_name: crash.comm ?? "",
    pid: crash.raw.p ?? crash.raw.P ?? "",
    signal: crash.raw.s ?? "",
    timestamp: crash.raw.t ?? "",
    directory: facts.coreDir,
    hostname: crash.hostname ?? "",
    pathname: crash.pathname ?? "",
    namespace: identity?.pod?.namespace ?? unknown,
    podname: identity?.pod?.name ?? unknown,
    node: facts.nodeName,
    container: identity?.container?.name ?? unknown,
    // Known only once the core has streamed by, and the name stands before it.
    exe_build_id: "",
    date: toRfc3339(facts.crashedAtMs).slice(0, 10),
  };
  return renderName(template, variables);
}

/** Name the core's entry. */
export function coreEntryName(name: string, compression: Compression): string {
  return compression === "zstd" ? `${name}.core.zst` : `${name}.core`;
}
