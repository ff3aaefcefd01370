import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { outcomeOf } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { isGone, makeHost, OWN, sysctlSuiteUnavailable, type Host } from "./host.ts";

/** Every step of an install, in order: a step that is added without a fault point fails the first test. */
const INSTALL_STEPS = [
  "make-host-dir",
  "make-core-dir",
  "stage-composer",
  "self-test",
  "publish-composer",
  "write-env",
  "write-crictl-config",
  "save-core_pipe_limit",
  "save-core_pattern",
  "save-suid_dumpable",
  "record",
  "set-core_pipe_limit",
  "set-core_pattern",
  "set-suid_dumpable",
  "tidy",
];

const RESTORE_STEPS = [
  "restore-suid_dumpable",
  "restore-core_pattern",
  "restore-core_pipe_limit",
  "remove-composer",
  "remove-settings",
  "remove-core-dir",
  "remove-backups",
];

const INSTALL = ["install", "--deploy-crictl-config", "-o", "json"];

function stepsOf(stdout: string): string[] {
  return (JSON.parse(stdout) as { steps: { id: string }[] }).steps.map(({ id }) => id);
}

async function expectRestored(host: Host): Promise<void> {
  expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
  expect(host.values()).toEqual(OWN);
  expect(isGone(host.hostDir)).toBe(true);
}

describeUnless(sysctlSuiteUnavailable(), "kill -9 after each step", () => {
  it("covers every step", async () => {
    using host = makeHost();
    expect(stepsOf((await host.run(INSTALL)).stdout)).toEqual(INSTALL_STEPS);
    expect(stepsOf((await host.run(["restore", "-o", "json"])).stdout)).toEqual(RESTORE_STEPS);
  });

  it.each(INSTALL_STEPS)(
    "of install, %s: the next install ends well, and the node's own values come back",
    async (step) => {
      using host = makeHost();
      const killed = await host.run(INSTALL, { env: { CDH_FAULT_POINT: `after:${step}` } });
      expect(killed.signal).toBe("SIGKILL");
      expect(outcomeOf(await host.run(INSTALL))).toBe("exit 0");
      expect(outcomeOf(await host.run(["status"]))).toBe("exit 0");
      await expectRestored(host);
    },
  );

  it.each(INSTALL_STEPS)("of install, %s: a restore right after it brings the node's own values back", async (step) => {
    using host = makeHost();
    await host.run(INSTALL, { env: { CDH_FAULT_POINT: `after:${step}` } });
    await expectRestored(host);
  });

  it.each(INSTALL_STEPS)("of an upgrade, %s: the composer that the kernel starts is always whole", async (step) => {
    using host = makeHost();
    await host.run(INSTALL);
    const versions = ["1", "2"].map((version) => readFileSync(host.composer(version), "utf8"));
    const upgrade = { COMPOSER: host.composer("2"), COMP_LOG_LENGTH: "7", CORE_PIPE_LIMIT: "32" };
    await host.run(INSTALL, { env: { ...upgrade, CDH_FAULT_POINT: `after:${step}` } });
    expect(host.values().core_pattern).toContain(`|${host.hostDir}/cdc `);
    expect(versions).toContain(readFileSync(join(host.hostDir, "cdc"), "utf8"));
    expect(outcomeOf(await host.run(INSTALL, { env: upgrade }))).toBe("exit 0");
    expect(readFileSync(join(host.hostDir, "cdc"), "utf8")).toBe(versions[1]);
    expect(host.values().core_pipe_limit).toBe("32");
    await expectRestored(host);
  });

  it.each(RESTORE_STEPS)("of restore, %s: the next restore ends well", async (step) => {
    using host = makeHost();
    await host.run(INSTALL);
    const killed = await host.run(["restore"], { env: { CDH_FAULT_POINT: `after:${step}` } });
    expect(killed.signal).toBe("SIGKILL");
    await expectRestored(host);
  });

  it.each(RESTORE_STEPS)("of restore, %s: the next install ends well, and a restore after it too", async (step) => {
    using host = makeHost();
    await host.run(INSTALL);
    await host.run(["restore"], { env: { CDH_FAULT_POINT: `after:${step}` } });
    expect(outcomeOf(await host.run(INSTALL))).toBe("exit 0");
    expect(outcomeOf(await host.run(["status"]))).toBe("exit 0");
    await expectRestored(host);
  });

  it("of install, with a reboot after it: the values of the boot change nothing about those that were saved", async () => {
    using host = makeHost();
    await host.run(INSTALL, { env: { CDH_FAULT_POINT: "after:set-core_pattern" } });
    host.set({ core_pattern: "core", core_pipe_limit: "0", suid_dumpable: "0" });
    expect(outcomeOf(await host.run(INSTALL))).toBe("exit 0");
    await expectRestored(host);
  });

  it("leaves a lock that the next run recognises as nobody's", async () => {
    using host = makeHost();
    await host.run(INSTALL, { env: { CDH_FAULT_POINT: "after:stage-composer" } });
    expect(isGone(join(host.hostDir, ".cdh-sysctl.lock"))).toBe(false);
    const next = await host.run(["install", "--lock-timeout", "0"]);
    expect(outcomeOf(next)).toBe("exit 0");
    expect(isGone(join(host.hostDir, ".cdh-sysctl.lock"))).toBe(true);
  });

  it("knows no other fault points: a mistyped one does nothing", async () => {
    using host = makeHost();
    writeFileSync(join(host.directory, "note"), "");
    expect(outcomeOf(await host.run(INSTALL, { env: { CDH_FAULT_POINT: "after:nothing" } }))).toBe("exit 0");
  });
});
