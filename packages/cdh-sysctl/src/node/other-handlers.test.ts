import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Roots } from "@cdh/core/roots";
import { makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { findBootValue, findOtherHandlers } from "./other-handlers.ts";
import { detectProfile } from "./profiles.ts";

const nodes: FakeNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) node.remove();
});

function makeHost(files: Record<string, string>): Roots {
  const node = makeFakeNode();
  nodes.push(node);
  const host = join(node.directory, "root");
  mkdirSync(host);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(host, path)), { recursive: true });
    writeFileSync(join(host, path), content);
  }
  return { ...node.roots, host };
}

describe("findBootValue", () => {
  it("reads sysctl.d as systemd-sysctl does: by name, /etc hides /usr/lib, the last one wins", () => {
    const roots = makeHost({
      "/usr/lib/sysctl.d/50-coredump.conf": "kernel.core_pattern=|/usr/lib/systemd/systemd-coredump %P\n",
      "/usr/lib/sysctl.d/60-x.conf": "# kernel.core_pattern = no\n-kernel/core_pipe_limit = 16\n",
      "/etc/sysctl.d/60-x.conf": "; hidden\n",
      "/etc/sysctl.d/70-y.conf": "fs.suid_dumpable = 2\nkernel.core_pattern = |/x/cdc -P=%P\n",
    });
    expect(findBootValue(roots, "core_pattern")).toEqual({
      value: "|/usr/lib/systemd/systemd-coredump %P",
      path: "/usr/lib/sysctl.d/50-coredump.conf",
    });
    expect(findBootValue(roots, "core_pipe_limit")).toBeUndefined();
    expect(findBootValue(roots, "suid_dumpable")?.value).toBe("2");
  });

  it("knows the unit that registers systemd-coredump's socket (v262), unless it is masked", () => {
    const unit = "/usr/lib/systemd/system/systemd-coredump-register.service";
    const roots = makeHost({ [unit]: "[Service]\n", "/etc/sysctl.d/9.conf": "kernel.core_pattern = /early\n" });
    expect(findBootValue(roots, "core_pattern")).toEqual({ value: "@@/run/systemd/coredumpd/kernel", path: unit });
    expect(findBootValue(roots, "core_pipe_limit")).toBeUndefined();
    expect(findOtherHandlers(roots, "core").map(({ name, effect }) => `${name} ${effect}`)[0]).toBe(
      "systemd-coredump sets kernel.core_pattern = @@/run/systemd/coredumpd/kernel at boot and whenever systemd-coredump restarts",
    );
    expect(findOtherHandlers(makeHost({}), "@@/run/systemd/coredumpd/kernel")[0]).toEqual({
      name: "systemd-coredump",
      path: "/run/systemd/coredumpd/kernel",
      effect: "gets the crashes now",
    });
    mkdirSync(join(roots.host, "/etc/systemd/system"), { recursive: true });
    symlinkSync("/dev/null", join(roots.host, "/etc/systemd/system/systemd-coredump-register.service"));
    expect(findBootValue(roots, "core_pattern")?.value).toBe("/early");
    expect(findOtherHandlers(roots, "core").map(({ path }) => path)).toEqual(["/etc/sysctl.d/9.conf"]);
  });

  it("finds nothing on an empty host", () => expect(findBootValue(makeHost({}), "core_pattern")).toBeUndefined());
});

describe("findOtherHandlers", () => {
  it("names who gets the crashes now and who would at the next boot", () => {
    const roots = makeHost({
      "/usr/lib/systemd/systemd-coredump": "",
      "/usr/lib/sysctl.d/50-coredump.conf": "kernel.core_pattern=|/usr/lib/systemd/systemd-coredump %P\n",
      "/lib/systemd/system/apport.service": "",
    });
    expect(
      findOtherHandlers(roots, "|/usr/share/apport/apport -p%p").map(({ name, effect }) => `${name} ${effect}`),
    ).toEqual([
      "apport gets the crashes now",
      "systemd-coredump handles crashes when its sysctl.d file is applied",
      "apport sets its own core pattern when it starts",
      "systemd-coredump sets kernel.core_pattern = |/usr/lib/systemd/systemd-coredump %P at boot",
    ]);
    expect(findOtherHandlers(makeHost({}), "core")).toEqual([]);
    expect(findOtherHandlers(makeHost({}), "|/var/mnt/core-dump-handler/cdc -P=%P")).toEqual([]);
  });
});

describe("detectProfile", () => {
  it.each([
    ['ID=cos\nVERSION_ID="113"', "gke-cos"],
    ["ID=bottlerocket", "bottlerocket"],
    ['NAME="Talos"\nID=talos', "talos"],
    ['ID="rhel"\nVARIANT_ID=coreos', "openshift"],
    ["ID=rhcos", "openshift"],
    ["ID=debian", "default"],
    ["", "default"],
  ])("recognises %j", (text, expected) => {
    expect(detectProfile(makeHost({ "/etc/os-release": text }))).toBe(expected);
  });

  it("recognises k3s by its directory", () => {
    expect(detectProfile(makeHost({ "/etc/os-release": "ID=ubuntu", "/etc/rancher/k3s/k3s.yaml": "" }))).toBe("k3s");
  });
});
