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

describe("renderComposerEnv", () => {
  it.each(["a;b", "#x", "true", "with blank ", '"quoted"', "{uuid}-{pid}", "a=b", "[x]", "null", "back\\slash"])(
    "writes %j so that the composer reads the same",
    (value) => expect(parseEnvFile(renderComposerEnv({ LOG_LEVEL: value }))).toEqual({ LOG_LEVEL: value }),
  );
});
