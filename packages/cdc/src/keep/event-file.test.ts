import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeCrash } from "@cdh/core/testing/fake-node";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { describeEvent, eventLabels, writeEventFile } from "./event-file.ts";

const EVENT = describeEvent(
  makeCrash({ comm: 'a"b', hostname: "h", pathname: "!a", raw: { c: "0", p: "1", s: "11", t: "17" } }),
  makeManifest(Buffer.alloc(8), 8),
  { containers: [], podLabels: { "info.coredump/team": "x", app: "y" }, repoDigests: ["i@sha256:1"], problems: [] },
);

it("holds IBM's keys in IBM's order, text as the kernel gave it", () => {
  expect(Object.keys(EVENT)).toEqual([
    "image_list",
    "key",
    "exe_path",
    "labels",
    "limit_size",
    "exe_name",
    "pid",
    "signal",
    "timestamp",
    "hostname",
    "namespace",
    "uuid",
  ]);
  expect(EVENT).toMatchObject({ exe_name: 'a"b', exe_path: "!a", pid: "1", signal: "11", namespace: "payments" });
  expect(EVENT.labels).toEqual({ "info.coredump/team": "x" });
  expect(eventLabels(undefined)).toEqual({});
});

it("appears whole, for its owner alone, in a directory made for it, and follows no link", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cdh-event-"));
  try {
    const events = join(directory, "a", "b");
    const path = await writeEventFile(events, EVENT);
    expect(readdirSync(events)).toEqual([`${EVENT.uuid}-event.json`]);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(EVENT);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    symlinkSync(join(directory, "precious"), join(events, `.${EVENT.uuid}-event.json.partial`));
    await writeEventFile(events, EVENT);
    expect(readdirSync(events)).toEqual([`${EVENT.uuid}-event.json`]);
    expect(readdirSync(directory)).toEqual(["a"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
