import { expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelWords, makeRig, smallCore } from "./drive.ts";

describeUnless(notBuilt("cdc"), "the problems in a manifest", () => {
  it("stand in the order of the composer's stages, whichever was done first", async () => {
    const orders = new Set<string>();
    for (let run = 0; run < 5; run += 1) {
      await using rig = makeRig();
      // A label selector for a crash whose pod is unknown, a name that comes out empty, no core at all.
      rig.env({ TIMEOUT: "soon", FILENAME_TEMPLATE: "{exe_build_id}", POD_SELECTOR_LABEL: "app" });
      await rig.run(Buffer.alloc(0), { args: kernelWords({ s: "x" }) });
      const { manifest } = await rig.bundle();
      orders.add(manifest.problems.map(({ step, code }) => `${step} ${code}`).join("\n"));
    }
    expect([...orders]).toEqual([
      [
        "settings CDH_CONFIG_INVALID",
        "arguments CDH_ARGUMENT_INVALID",
        "process CDH_NOT_FOUND",
        "crictl CDH_CRICTL_NOT_FOUND",
        "identity CDH_NO_IDENTITY",
        "selector CDH_SELECTOR_UNKNOWN",
        "name CDH_CONFIG_INVALID",
        "drain CDH_DAMAGED",
        "core CDH_CORE_EMPTY",
      ].join("\n"),
    ]);
  });

  it("are none where everything could be learnt", async () => {
    await using rig = makeRig();
    await rig.run(smallCore(Buffer.from("memory")));
    const { manifest } = await rig.bundle();
    expect(manifest.problems.filter(({ step }) => ["settings", "name", "drain"].includes(step))).toEqual([]);
  });
});
