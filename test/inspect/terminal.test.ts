import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, runPath } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";

/** What a crashed program may have said to hurt whoever looks: a title, colours, a cleared screen, C1 controls, an override. */
const EVIL = "\u001b]0;owned\u0007\u001b[31mred\u001b[2J\u009b5m\u202egnp\u0000\b";

describeUnless(notBuilt("cdh-inspect") ?? findTool("script").reason, "cdh-inspect on a terminal", () => {
  let place: string;
  let bundle: string;

  /** Run in a pseudo-terminal, made by script(1). */
  const onTerminal = async (command: string, before = ""): Promise<string> => {
    const script = findTool("script").path ?? "script";
    const env = { PATH: process.env["PATH"] ?? "", TERM: "xterm-256color", HOME: place };
    const result = await runPath(script, ["-qec", `${before}${builtPath("cdh-inspect")} ${command}`, "/dev/null"], {
      env,
    });
    return result.stdout;
  };
  /** Take away what our own colours and progress bars are made of. */
  const withoutOwn = (text: string): string =>
    // eslint-disable-next-line no-control-regex -- our own colours are control characters too
    text.replaceAll(/\u001b\[(1|2|22|31|32|33|36|39)m|\r\u001b\[K|\r\n/g, (part) => (part === "\r\n" ? "\n" : ""));

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-terminal-"));
    bundle = join(place, "evil.zip");
    const { dumpInfo, core, log, manifest } = makeSampleEntries(makeTinyCore(8 * 1024 * 1024), {
      process: { comm: EVIL, exe: `/bin/${EVIL}`, cmdline: ["server", EVIL] },
      pod: { name: EVIL, namespace: EVIL, owner: { kind: EVIL, name: EVIL } },
      container: { id: EVIL, name: EVIL, imageRef: EVIL, imageId: EVIL, runtime: EVIL },
      node: { nodeName: EVIL, kernelRelease: EVIL },
      threads: [{ tid: 1, crashed: true, registers: { [EVIL]: EVIL, pc: "0x1000" } }],
      modules: [{ path: EVIL, start: "0x1000", end: "0x2000", buildId: EVIL, package: { name: EVIL, version: EVIL } }],
      problems: [{ step: EVIL, code: EVIL, detail: EVIL }],
    });
    await writeFile(
      bundle,
      makeRawZip([dumpInfo, core, { ...log, data: Buffer.from(`${EVIL}\n${EVIL}\n`) }, manifest]),
    );
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it.each([
    "ls .",
    "show evil.zip",
    "show -o json evil.zip",
    "ls -o jsonl .",
    "threads evil.zip",
    "modules evil.zip",
    "logs evil.zip",
    "cat evil.zip 0.log",
    "cat evil.zip core --range 0+64",
    "verify evil.zip",
    "debug --print evil.zip",
    `unpack evil.zip out --entry ${SAMPLE_NAME}-0.log`,
  ])("lets nothing of the crashed program act: %s", async (command) => {
    const text = await onTerminal(
      command.replace("evil.zip", bundle).replace(" .", ` ${place}`).replace(" out ", ` ${place}/out `),
    );
    expect(text.length).toBeGreaterThan(20);
    // eslint-disable-next-line no-control-regex -- that none of these gets out is what is tested
    expect(withoutOwn(text)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  });

  it.each([80, 120])("fits a terminal of %i columns, with names that work", async (width) => {
    const store = join(place, "store/payments");
    await mkdir(store, { recursive: true });
    const { dumpInfo, core, log, manifest } = makeSampleEntries(makeTinyCore(), {
      pod: { name: "checkout-7d9f8b6c5-x2x9k", namespace: "payments" },
      process: { exe: "/usr/local/lib/jvm/java-21-openjdk-amd64/bin/java" },
    });
    await writeFile(join(store, `${SAMPLE_NAME}.zip`), makeRawZip([dumpInfo, core, log, manifest]));
    const listed = await onTerminal(`ls ${join(place, "store")}`, `stty cols ${width};`);
    const lines = withoutOwn(listed).trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(width);
    const name = lines[1]?.split(/\s+/).at(-1) ?? "";
    expect(SAMPLE_NAME.startsWith(name)).toBe(true);
    const shown = withoutOwn(await onTerminal(`show ${join(place, "store", name)}`, `stty cols ${width};`));
    expect(shown).toContain("died of SIGSEGV in payments/checkout-7d9f8b6c5-x2x9k");
  });

  it("has age, restarts and image where there is room", async () => {
    const store = join(place, "wide");
    await mkdir(store, { recursive: true });
    const { dumpInfo, core, log, manifest } = makeSampleEntries(makeTinyCore(), {
      container: { id: "c", name: "app", imageRef: "registry.example/server:1", restartCount: 41 },
    });
    await writeFile(join(store, `${SAMPLE_NAME}.zip`), makeRawZip([dumpInfo, core, log, manifest]));
    const listed = withoutOwn(await onTerminal(`ls ${store}`, "stty cols 400;"));
    expect(listed).toMatch(/TIME \(UTC\) +AGE +NAMESPACE\/POD +CONTAINER +RESTARTS +IMAGE/);
    expect(listed).toMatch(/\d+[dyhms]\S* .* 41 +registry\.example\/server:1 /);
    expect(withoutOwn(await onTerminal(`ls ${store}`, "stty cols 100;"))).not.toContain("RESTARTS");
    expect(withoutOwn(await onTerminal(`ls ${store} | cat`, "stty cols 400;"))).not.toContain("RESTARTS");
  });

  it("shows colours and a progress bar there", async () => {
    expect(await onTerminal(`show ${bundle}`)).toContain("\u001b[31m");
    expect(await onTerminal(`unpack ${bundle} ${place}/bar --entry core`)).toMatch(/core {2}\[#*\.*\] +\d+%/);
  });

  it("does not pour a whole core into it", async () => {
    const text = await onTerminal(`cat ${bundle} core`);
    expect(text).toContain("a whole core of 8.0 MiB is not for a terminal");
    expect(text).toContain("--range 0+4Ki");
    expect(text.length).toBeLessThan(1000);
    expect(await onTerminal(`cat ${bundle} core --hex | head -n 1`)).toMatch(/^0+ {2}7f 45 4c 46/);
  });
});
