import { describe, expect, it } from "vitest";
import { makeSettings } from "../testing/test-settings.ts";
import { reasonToSkip, selects, type FilterFacts } from "./filters.ts";

const POD: FilterFacts = { place: "container", namespace: "shop", comm: "web", signal: 11, labels: { app: "web" } };
const HOST: FilterFacts = { ...POD, place: "host", namespace: undefined, labels: undefined };

describe("reasonToSkip", () => {
  it.each<[Record<string, string>, FilterFacts, string | undefined]>([
    [{}, POD, undefined],
    [{}, HOST, undefined],
    [{ NAMESPACE_INCLUDE: "shop,bank" }, POD, undefined],
    [{ NAMESPACE_INCLUDE: "bank" }, POD, "namespace not included"],
    [{ NAMESPACE_INCLUDE: "sh*" }, POD, undefined],
    [{ NAMESPACE_INCLUDE: "s" }, POD, "namespace not included"],
    [{ NAMESPACE_EXCLUDE: "shop" }, POD, "namespace excluded"],
    [{ NAMESPACE_EXCLUDE: "*" }, POD, "namespace excluded"],
    [{ NAMESPACE_INCLUDE: "shop", NAMESPACE_EXCLUDE: "sh*" }, POD, "namespace excluded"],
    // A namespace filter says nothing of the host's own processes.
    [{ NAMESPACE_INCLUDE: "bank" }, HOST, undefined],
    [{ HOST_CRASHES: "ignore" }, HOST, "host crash ignored"],
    [{ HOST_CRASHES: "ignore" }, POD, undefined],
    [{ HOST_CRASHES: "ignore" }, { ...POD, place: "unknown" }, undefined],
    [{ COMM_EXCLUDE: "web" }, POD, "process name excluded"],
    [{ COMM_EXCLUDE: "we" }, POD, undefined],
    [{ SIGNAL_EXCLUDE: "SIGSEGV" }, POD, "signal excluded"],
    [{ SIGNAL_EXCLUDE: "segv,3" }, { ...POD, signal: 3 }, "signal excluded"],
    [{ SIGNAL_EXCLUDE: "6" }, POD, undefined],
    [{ POD_SELECTOR_LABEL: "app" }, POD, undefined],
    [{ POD_SELECTOR_LABEL: "!app" }, POD, "label selector does not match"],
    [{ POD_SELECTOR_LABEL: "app=db" }, POD, "label selector does not match"],
    // What could not be learnt never drops a crash.
    [{ POD_SELECTOR_LABEL: "app=db" }, { ...POD, labels: undefined }, undefined],
    [{ NAMESPACE_INCLUDE: "bank" }, { ...POD, namespace: undefined }, undefined],
    [{ SIGNAL_EXCLUDE: "11", COMM_EXCLUDE: "web" }, { ...POD, signal: undefined, comm: undefined }, undefined],
  ])("%j %j", (env, facts, reason) => expect(reasonToSkip(makeSettings(env), facts)).toBe(reason));
});

describe("selects", () => {
  it.each<[string, Record<string, string>, boolean]>([
    ["app", { app: "" }, true],
    ["app", {}, false],
    ["!app", {}, true],
    ["app=web", { app: "web" }, true],
    ["app==web", { app: "web" }, true],
    ["app=web", { app: "db" }, false],
    ["app!=web", { app: "db" }, true],
    ["app!=web", {}, true],
    ["app!=web", { app: "web" }, false],
    [" app = web , tier ", { app: "web", tier: "1" }, true],
    ["app=web,tier", { app: "web" }, false],
    ["app=", { app: "" }, true],
    // Names of Object's own members are labels like any other.
    ["constructor", {}, false],
    ["!toString", {}, true],
  ])("%s %j", (selector, labels, holds) => expect(selects(selector, labels)).toBe(holds));
});
