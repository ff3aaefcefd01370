import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { ApiError } from "../http/api-error.ts";
import { makeRecord } from "../testing/record.ts";
import { dumpResource } from "./dump-resource.ts";
import { parseFieldSelector, parseLabelSelector, tryNameOfFieldSelector } from "./selectors.ts";

const DUMPS = dumpResource({ groups: { index: { idOf: () => "bug-0123456789" } } });
const record = makeRecord({ name: "a-dump", keep: true });

describe("parseLabelSelector", () => {
  it.each([
    ["core-dump-handler.dev/signal=SIGSEGV", true],
    ["core-dump-handler.dev/signal == SIGSEGV", true],
    ["core-dump-handler.dev/signal!=SIGSEGV", false],
    ["core-dump-handler.dev/signal in (SIGABRT, SIGSEGV)", true],
    ["core-dump-handler.dev/signal notin (SIGABRT,SIGSEGV)", false],
    ["core-dump-handler.dev/signal notin (SIGABRT)", true],
    ["core-dump-handler.dev/keep", true],
    ["core-dump-handler.dev/group=bug-0123456789", true],
    ["core-dump-handler.dev/group!=bug-0123456789", false],
    ["!core-dump-handler.dev/keep", false],
    ["core-dump-handler.dev/keep=true,core-dump-handler.dev/executable=server", true],
    ["core-dump-handler.dev/keep=true,core-dump-handler.dev/executable=client", false],
    // What it does not have is unequal to everything, and in no set.
    ["app=x", false],
    ["app!=x", true],
    ["app notin (x)", true],
    ["!app", true],
    ["app=", false],
  ])("%s", (text, wanted) => {
    expect(parseLabelSelector(text, DUMPS)(record)).toBe(wanted);
  });

  it.each([
    "a b",
    "a in",
    "a in ()b",
    "=x",
    "a=b=c",
    "a=(b)",
    ",",
    "a,,b",
    "core-dump-handler.dev/__proto__",
    "-a",
    "a=-",
    "a in (-)",
    "é=1",
  ])("refuses %s", (text) => {
    expect(() => parseLabelSelector(text, DUMPS)).toThrow(ApiError);
  });
});

describe("parseFieldSelector", () => {
  it.each([
    ["metadata.name=a-dump", true],
    ["metadata.name==a-dump", true],
    ["metadata.name!=a-dump", false],
    ["spec.signal.name=SIGSEGV,status.complete=true", true],
    ["spec.process.exe=/usr/bin/server", true],
    ["spec.process.comm=server\\,x", false],
    ["metadata.namespace=", false],
  ])("%s", (text, wanted) => {
    expect(parseFieldSelector(text, DUMPS)(record)).toBe(wanted);
  });

  it("reads what is protected by a backslash", () => {
    const odd = makeRecord({ comm: "a,b=c\\d" });
    expect(parseFieldSelector("spec.process.comm=a\\,b\\=c\\\\d", DUMPS)(odd)).toBe(true);
  });

  it("finds the name that rights are asked for, only where it is the only thing asked", () => {
    expect(tryNameOfFieldSelector("metadata.name=x")).toBe("x");
    expect(tryNameOfFieldSelector("metadata.name==x")).toBe("x");
    for (const text of [undefined, "", "metadata.name!=x", "metadata.name=x,metadata.name=y", "spec.pod.name=x"]) {
      expect(tryNameOfFieldSelector(text)).toBeUndefined();
    }
  });
});

it("no text makes anything but a selector or a refusal", () => {
  const random = new SeededRandom(71);
  const pieces = [
    "a",
    "core-dump-handler.dev/pod",
    "=",
    "!",
    "==",
    "!=",
    " in ",
    " notin ",
    "(",
    ")",
    ",",
    " ",
    "\\",
    "x",
    "metadata.name",
  ];
  for (let run = 0; run < 1000; run += 1) {
    const text = Array.from({ length: random.integer(12) }, () => pieces[random.integer(pieces.length)]).join("");
    for (const parse of [parseLabelSelector, parseFieldSelector]) {
      try {
        expect(typeof parse(text, DUMPS)(record)).toBe("boolean");
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError);
      }
    }
  }
});
