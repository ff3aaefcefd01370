import { describe, expect, it } from "vitest";
import { parseEnvFile } from "@cdh/core/env-file";
import { collectComposerEnv, renderComposerEnv } from "./composer-env.ts";

const layout = { hostDir: "/h", coreDir: "/h/cores", eventDir: "/h/events" };

describe("collectComposerEnv", () => {
  it("takes every COMP_ name, IBM's event directory among them, and adds the node's directories", () => {
    const env = {
      COMP_LOG_LEVEL: "Warn",
      COMP_CORE_EVENT_DIR: "/Var/Events",
      COMP_FILENAME_TEMPLATE: "{uuid}",
      COMP_TIMEOUT: "",
      CORE_DIR: "/elsewhere",
    };
    expect(collectComposerEnv(env, {}, layout)).toEqual({
      values: { CORE_DIR: "/h/cores", EVENT_DIRECTORY: "/Var/Events", LOG_LEVEL: "Warn", FILENAME_TEMPLATE: "{uuid}" },
      unknown: [],
      problems: [],
    });
  });

  it("lets --set win, and reports names that nobody knows", () => {
    const { values, unknown } = collectComposerEnv(
      { COMP_LOG_LENGTH: "1", COMP_NEW: "x" },
      { LOG_LENGTH: "2" },
      layout,
    );
    expect(values["LOG_LENGTH"]).toBe("2");
    expect(values["NEW"]).toBe("x");
    expect(unknown).toEqual(["COMP_NEW"]);
  });
});

it("takes a setting's own name before another name for it", () => {
  const env = { COMP_PROC_ROOT: "/own", COMP_OVERRIDE_PROC_FOLDER_PATH: "/other", COMP_CORE_EVENT_DIR: "/e" };
  const { values } = collectComposerEnv(env, {}, layout);
  expect(values).toEqual({ CORE_DIR: "/h/cores", EVENT_DIRECTORY: "/e", PROC_ROOT: "/own" });
});

it("refuses by --set what an empty variable only leaves out", () => {
  expect(collectComposerEnv({ COMP_RATE_LIMIT: "" }, {}, layout).problems).toEqual([]);
  expect(collectComposerEnv({}, { RATE_LIMIT: "" }, layout).problems.length).toBe(1);
});

describe("the check of the composer's settings", () => {
  it.each([
    ["LOG_LENGTH", "many"],
    ["LOG_LEVEL", "loud"],
    ["COMPRESSION", "lzma"],
    ["FILENAME_TEMPLATE", "{what}"],
    ["RATE_LIMIT", "often"],
    ["KEEP_FREE", "some"],
    ["SIGNAL_EXCLUDE", "SIGNOPE"],
    ["IGNORE_CRIO", "maybe"],
    ["KEEP_FREE", "150%"],
    ["KEEP_FREE_INODES", "150%"],
    ["RATE_LIMIT", "5/xyz"],
    ["WATCH_LEASE", "1m"],
  ])("finds %s=%s", (name, value) => {
    expect(collectComposerEnv({ [`COMP_${name}`]: value }, {}, layout).problems[0]).toContain(
      `COMP_${name} "${value}": `,
    );
  });

  it.each([
    ["LOG_LEVEL", "Warn"],
    ["COMPRESSION", "True"],
    ["FILENAME_TEMPLATE", "{{uuid}}-{exe_name}"],
    ["RATE_LIMIT", "5/1h"],
    ["RATE_LIMIT", "0"],
    ["KEEP_FREE", "10%"],
    ["KEEP_FREE", "4Gi"],
    ["SIGNAL_EXCLUDE", "SIGQUIT, 3"],
    ["INCLUDE_PROC_INFO", "environ"],
    ["TIMEOUT", "600"],
    ["IGNORE_CRIO", "FALSE"],
    ["CRIO_IMAGE_CMD", "img"],
    ["OVERRIDE_PROC_FOLDER_PATH", "/host/proc"],
  ])("accepts %s=%s", (name, value) => {
    expect(collectComposerEnv({ [`COMP_${name}`]: value }, {}, layout)).toMatchObject({ unknown: [], problems: [] });
  });
});

describe("renderComposerEnv", () => {
  it.each(["a;b", "#x", "true", "with blank ", '"quoted"', "{uuid}-{pid}", "a=b", "[x]", "null", "back\\slash"])(
    "writes %j so that the composer reads the same",
    (value) => expect(parseEnvFile(renderComposerEnv({ LOG_LEVEL: value }))).toEqual({ LOG_LEVEL: value }),
  );
});
