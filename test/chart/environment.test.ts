import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { collectComposerEnv } from "../../packages/cdh-sysctl/src/change/composer-env.ts";
import { sysctlSettings } from "../../packages/cdh-sysctl/src/settings.ts";
import { uploadSettings } from "../../packages/cdh-upload/src/settings.ts";
import { findComposerSetting } from "../../packages/core/src/composer/known-names.ts";
import { composerSettings } from "../../packages/core/src/composer/settings.ts";
import type { SettingsTable } from "../../packages/core/src/service/config.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, platforms, render, STORE, type Container, type Rendered } from "./helm.ts";

const every: unknown = parse(readFileSync(join(import.meta.dirname, "every.yaml"), "utf8"));

/** Read by the command line of every program; no program's table has them. */
const COMMON = ["LOG_LEVEL", "LOG_FORMAT", "GOOGLE_APPLICATION_CREDENTIALS"];

/** Settings that the chart does not set: their default is right in a pod. */
const NOT_IN_CHART = {
  sysctl: ["COMPOSER", "LOCAL_BIN", "VENDOR", "READY_FILE", "SERVICE_ACCOUNT_DIR", "LOCK_TIMEOUT", "PROVE_CAPTURE"],
  upload: ["JOURNALCTL"],
  composer: ["CORE_DIR", "EVENT_DIRECTORY", "PROC_ROOT"],
};

const envNames = (table: SettingsTable): string[] => Object.values(table).map(({ env }) => env);
const namesOf = (container: Container): string[] => (container.env ?? []).map(({ name }) => name);

function expectReadable(table: SettingsTable, env: Record<string, string>): void {
  for (const { env: name, parse: read } of Object.values(table)) {
    const text = env[name];
    if (text !== undefined) expect(() => read(text), `${name}=${text}`).not.toThrow();
  }
}

describeUnless(missingTools("helm"), "the environment that the chart sets", () => {
  const cases: [string, () => Rendered][] = [
    ["the least", () => render(STORE)],
    ["everything", () => render(every)],
    ...platforms().map((name): [string, () => Rendered] => [
      name,
      () => render({ store: { bucket: "cores" } }, { files: [name] }),
    ]),
  ];

  it.each(cases)("%s: each name is a program's, each once, and each text is read by it", (_, make) => {
    const rendered = make();
    const node = containerOf(rendered, "node");
    const upload = containerOf(rendered, "upload");
    for (const container of [node, upload]) {
      const names = namesOf(container);
      expect(new Set(names).size, names.join(" ")).toBe(names.length);
    }
    const [composer, own] = [true, false].map((is) => namesOf(node).filter((name) => name.startsWith("COMP_") === is));
    expect([...COMMON, ...envNames(sysctlSettings)]).toEqual(expect.arrayContaining(own ?? []));
    for (const name of composer ?? [])
      expect(findComposerSetting(name.slice("COMP_".length)).kind, name).not.toBe("unknown");
    expect([...COMMON, ...envNames(uploadSettings)]).toEqual(expect.arrayContaining(namesOf(upload)));

    expectReadable(sysctlSettings, envOf(node));
    expectReadable(uploadSettings, envOf(upload));
    const layout = { hostDir: "/h", coreDir: "/h/cores", eventDir: "/h/events" };
    expect(collectComposerEnv(envOf(node), {}, layout)).toMatchObject({ unknown: [], problems: [] });
  });

  it("covers every setting of the programs, but those whose default is right in a pod", () => {
    const rendered = render(every);
    const keys = render({ ...(every as object), store: { existingSecret: "keys" } });
    const node = namesOf(containerOf(rendered, "node"));
    const azure = render({ ...(every as object), store: { url: "azblob://cores", existingSecret: "keys" } });
    const upload = [rendered, keys, azure].flatMap((one) => namesOf(containerOf(one, "upload")));
    upload.push(...namesOf(containerOf(render({ ...STORE, daemonset: { schedule: "*/5 * * * *" } }), "upload")));
    const left = (table: SettingsTable, names: string[]): string[] =>
      envNames(table).filter((name) => !names.includes(name));
    expect(left(sysctlSettings, node).sort()).toEqual([...NOT_IN_CHART.sysctl].sort());
    expect(left(uploadSettings, upload)).toEqual(NOT_IN_CHART.upload);
    const composer = node.map((name) => name.replace(/^COMP_/, ""));
    expect(left(composerSettings, composer).sort()).toEqual(
      NOT_IN_CHART.composer.filter((name) => !composer.includes(name)).sort(),
    );
  });

  it("says large numbers as they are written", () => {
    const values = { ...STORE, upload: { maxUse: 1_099_511_627_776 }, composer: { coreSizeMax: 5_368_709_120 } };
    const rendered = render(values);
    expect(envOf(containerOf(rendered, "upload"))["MAX_USE"]).toBe("1099511627776");
    expect(envOf(containerOf(rendered, "node"))["COMP_CORE_SIZE_MAX"]).toBe("5368709120");
  });
});
