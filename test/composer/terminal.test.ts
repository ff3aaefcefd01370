import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

describeUnless(notBuilt("cdc") ?? missingTools("script"), "cdc on a terminal", () => {
  it.each([{ words: "" }, { words: "-h" }])("with '$words' gives help and does not wait for a core", ({ words }) => {
    // script(1) makes the terminal; its own stdin is at its end, so a program that waits would be seen to.
    const { stdout, error } = spawnSync("script", ["-qec", `${builtPath("cdc")} ${words}`, "/dev/null"], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(error).toBeUndefined();
    expect(stdout).toContain("replay");
  });
});
