import { describe, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { describeStored, joinEventText, MESSAGE_MAX } from "./event-text.ts";

const ID = "541c7eab-2222-4333-8444-555566667777";
const LOCATION = `s3://cores/shop/${ID}-dump-1764000000-web-1-checkout-1-11.zip`;
const frames = [
  { pc: "0x1010", function: "pay", file: "/src/pay.c", line: 41 },
  { pc: "0x1020", function: "main" },
];

function message(changes: Partial<Manifest> = {}, { hasApi = true, location = LOCATION } = {}): string {
  const manifest = makeManifest(makeTinyCore(), 100, {
    crashId: ID,
    process: { pid: 4711, pidInNamespace: 1, exe: "/opt/checkout" },
    pod: { name: "web-1", namespace: "shop" },
    container: { id: "aa", name: "app" },
    identity: { source: "oci-config", verified: true },
    threads: [{ tid: 1, crashed: true, registers: {}, stack: { frames, end: { kind: "outermost" } } }],
    ...changes,
  });
  return joinEventText(describeStored(manifest, { sizeBytes: 1024 * 1024, location, hasApi }));
}

describe("an Event's message", () => {
  it("begins with why and where, and ends with the command that its reader can type", () => {
    const begin =
      "SIGSEGV (null pointer) in pay() at pay.c:41 ← main(): /opt/checkout (pid 1) in container app; core dump of 1.0 MiB";
    expect(message()).toBe(`${begin}: kubectl coredump show -n shop 541c7eab`);
    expect(message({}, { hasApi: false })).toBe(`${begin}: cdh-inspect show s3://cores/shop/541c7eab`);
  });

  it.each<[string, Partial<Manifest>]>([
    ["of a restricted dump", { restricted: true }],
    ["whose pod is not proven", { identity: { source: "hostname", verified: false } }],
  ])("sends the reader of one %s to the store, where administrators are", (_which, changes) => {
    expect(message(changes)).toMatch(/: cdh-inspect show s3:\/\/cores\/shop\/541c7eab$/);
  });

  it("tells nothing of a restricted dump but its signal", () => {
    const said = { kind: "panic", text: "panic: the key is 1234", source: "log" } as const;
    expect(message({ restricted: true, message: said })).toMatch(
      /^\/opt\/checkout \(pid 1\) in container app crashed /,
    );
  });

  it("names the whole object where its name does not begin with the crash's id, as one word for a shell", () => {
    const command = (location: string): string | undefined =>
      / (cdh-inspect .*)$/.exec(message({}, { hasApi: false, location }))?.[1];
    expect(command("s3://cores/by day/1.zip")).toBe("cdh-inspect show 's3://cores/by day/1.zip'");
    expect(command("file:///it's/1.zip")).toBe(String.raw`cdh-inspect show 'file:///it'\''s/1.zip'`);
  });

  it("cuts what comes before the command, at whole characters, to the API server's limit in bytes", () => {
    const long = message({ process: { exe: `/opt/${"←ü😀".repeat(400)}\u001b` } });
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(MESSAGE_MAX);
    expect(Buffer.byteLength(long)).toBeGreaterThan(MESSAGE_MAX - 4);
    expect(long).toMatch(/…; core dump of 1\.0 MiB: kubectl coredump show -n shop 541c7eab$/);
    expect(long.isWellFormed()).toBe(true);
    const endless = message({}, { hasApi: false, location: `s3://cores/${"x".repeat(3000)}.zip` });
    expect(Buffer.byteLength(endless)).toBeLessThanOrEqual(MESSAGE_MAX);
  });
});
