import { describe, expect, it } from "vitest";
import { composerSettings } from "../../packages/cdc/src/settings.ts";
import { collectComposerEnv, COMPOSER_SETTINGS } from "../../packages/cdh-sysctl/src/composer-env.ts";

const layout = { hostDir: "/h", coreDir: "/h/cores", eventDir: "/h/events" };

describe("what cdh-sysctl knows about the composer's settings", () => {
  it("is every one of them, and IBM's image command that the composer ignores", () => {
    const names = Object.values(composerSettings).map(({ env }) => env);
    expect([...COMPOSER_SETTINGS].sort()).toEqual([...names, "CRIO_IMAGE_CMD"].sort());
  });

  it("refuses nothing that the composer reads", () => {
    const texts = ["0", "1", "5", "true", "yes", "10Gi", "5s", "10%", "5/1h", "zstd", "keep", "environ", "-1", "x y"];
    const refused: string[] = [];
    for (const { env, parse } of Object.values(composerSettings)) {
      // A template and a list of signals are read later, and wrong parts of them ignored then.
      if (env === "FILENAME_TEMPLATE" || env === "SIGNAL_EXCLUDE") continue;
      for (const text of texts) {
        if (!reads(parse as (text: string) => unknown, text)) continue;
        refused.push(...collectComposerEnv({ [`COMP_${env}`]: text }, {}, layout).problems);
      }
    }
    expect(refused).toEqual([]);
  });
});

function reads(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}
