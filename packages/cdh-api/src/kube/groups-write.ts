import { tryRecord } from "@cdh/core/base/records";
import { CdhError } from "@cdh/core/errors";
import { checkLoaded } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { GROUP, GROUP_KIND, NOTE, RESOLVED_IN, STATE_LABEL } from "../group.ts";
import { TooManyStates } from "../groups/group-states.ts";
import { ApiError, badRequest } from "../http/api-error.ts";
import { readJson } from "../http/exchange.ts";
import { sendJson } from "../http/send.ts";
import { GROUP_STATES, NOTE_MAX, VERSION_MAX, type GroupState, type GroupStateName } from "../manifests/group-state.ts";
import { groupObjectOf } from "./crashgroup.ts";
import { findGroup } from "./groups-read.ts";
import { checkPatchType, isDryRun } from "./write.ts";

/** What a patch sets: null removes, what is left out stays. */
interface StateChange {
  state?: GroupStateName | null;
  resolvedIn?: string | null;
  note?: string | null;
  /** The group must still be of this revision. */
  revision?: string;
}

/** Change what people say about a group: its state, the version in which it is mended, a note. */
export async function patchGroup({ app, exchange, param, who }: Call): Promise<void> {
  const [namespace, name] = [param("namespace"), param("name")];
  checkPatchType(exchange);
  const change = readChange(await readJson(exchange), name);
  checkLoaded(app);
  await app.dumps.freshen();
  const before = findGroup(app, namespace, name);
  if (change.revision !== undefined && change.revision !== String(before.group.revision)) throw conflict(name);
  if (isDryRun(exchange, undefined) || !changesAnything(change)) return sendJson(exchange, 200, groupObjectOf(before));
  const said = { by: who.user, at: app.clock.now() };
  try {
    await app.groups.states.change(namespace, name, (state) => {
      // What others said between the look above and the write is what the caller has not seen.
      if (change.revision !== undefined && state !== before.state) throw conflict(name);
      return changed(state, change, said);
    });
  } catch (error) {
    if (error instanceof TooManyStates) throw new ApiError(403, "Forbidden", error.message);
    if (error instanceof CdhError && error.code === "CDH_STORE_CONFLICT") throw conflict(name);
    throw error;
  }
  const after = findGroup(app, namespace, name);
  app.log.info("a group's state was changed", {
    audit: true,
    user: who.user,
    namespace,
    name,
    state: after.state?.state,
    from: exchange.remoteAddress,
  });
  sendJson(exchange, 200, groupObjectOf(after));
}

function changesAnything({ state, resolvedIn, note }: StateChange): boolean {
  return state !== undefined || resolvedIn !== undefined || note !== undefined;
}

/** @returns undefined where nothing changes */
function changed(
  before: GroupState | undefined,
  { state, resolvedIn, note }: StateChange,
  said: Pick<GroupState, "by" | "at">,
): GroupState | undefined {
  const name = state === undefined ? (before?.state ?? "open") : (state ?? "open");
  const keep = (now: string | null | undefined, then: string | undefined): string | undefined =>
    now === undefined ? then : (now ?? undefined);
  const version = name === "resolved" ? keep(resolvedIn, before?.resolvedIn) : undefined;
  const text = keep(note, before?.note);
  const isSame = before?.state === name && before.resolvedIn === version && before.note === text;
  // Said again, it is meant from now on: a group that came back was mended once more.
  if (isSame && (name !== "resolved" || state === undefined)) return undefined;
  return {
    state: name,
    ...(version === undefined ? {} : { resolvedIn: version }),
    ...(text === undefined ? {} : { note: text }),
    ...said,
    // A note on what was resolved does not resolve it again.
    ...(before !== undefined && state === undefined ? { at: before.at } : {}),
  };
}

/** @throws {ApiError} 400, 422 */
function readChange(body: unknown, name: string): StateChange {
  const patch = tryRecord(body);
  if (patch === undefined) throw badRequest("the patch is no object");
  const { metadata, apiVersion: _version, kind: _kind, ...others } = patch;
  const {
    labels,
    annotations,
    name: _name,
    namespace: _namespace,
    resourceVersion,
    ...more
  } = tryRecord(metadata) ?? {};
  const { [STATE_LABEL]: state, ...otherLabels } = tryRecord(labels) ?? {};
  const { [RESOLVED_IN]: resolvedIn, [NOTE]: note, ...otherNotes } = tryRecord(annotations) ?? {};
  const [refused] = [others, more, otherLabels, otherNotes].flatMap(Object.keys);
  if (refused !== undefined) {
    throw invalid(
      name,
      `only the label ${STATE_LABEL} and the annotations ${RESOLVED_IN} and ${NOTE} can be changed, not ${refused}`,
    );
  }
  return {
    ...(state === undefined ? {} : { state: readState(state, name) }),
    ...(resolvedIn === undefined
      ? {}
      : { resolvedIn: readText(resolvedIn, { name, key: RESOLVED_IN, max: VERSION_MAX }) }),
    ...(note === undefined ? {} : { note: readText(note, { name, key: NOTE, max: NOTE_MAX }) }),
    ...(typeof resourceVersion === "string" ? { revision: resourceVersion } : {}),
  };
}

function readState(value: unknown, name: string): GroupStateName | null {
  const state = value === null ? null : GROUP_STATES.find((one) => one === value);
  if (state === undefined) throw invalid(name, `the label ${STATE_LABEL} is one of ${GROUP_STATES.join(", ")}`);
  return state;
}

function readText(value: unknown, { name, key, max }: { name: string; key: string; max: number }): string | null {
  if (value === null || value === "") return null;
  if (typeof value === "string" && value.length <= max) return value;
  throw invalid(name, `the annotation ${key} is a text of at most ${max} characters`);
}

function conflict(name: string): ApiError {
  return new ApiError(409, "Conflict", `${name} was changed by somebody else: look at it again`);
}

function invalid(name: string, why: string): ApiError {
  return new ApiError(422, "Invalid", `${GROUP_KIND}.${GROUP} ${JSON.stringify(name)} is invalid: ${why}`, {
    details: {
      name,
      group: GROUP,
      kind: GROUP_KIND,
      causes: [{ reason: "FieldValueForbidden", message: why, field: "metadata" }],
    },
  });
}
