import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { StoreSettings } from "@cdh/core/store/settings";
import { readRules } from "./rules-file.ts";

it("gives up nothing that waits unless a rule says so: it is the only copy", async () => {
  const directory = await mkdtemp(join(tmpdir(), "cdh-rules-"));
  const rule = (name: string, more: object): object => ({ name, namespaces: [name], store: "file:///x", ...more });
  const rules = [
    rule("not-said", {}),
    rule("empty", { maxWaiting: "" }),
    rule("unlimited", { maxWaiting: "unlimited" }),
    rule("bounded", { maxWaiting: "10Gi" }),
  ];
  try {
    await writeFile(join(directory, "rules.json"), JSON.stringify({ rules }));
    const read = await readRules(join(directory, "rules.json"), {} as StoreSettings);
    expect(read.map(({ maxWaiting }) => maxWaiting)).toEqual([undefined, undefined, undefined, 10 * 1024 ** 3]);
  } finally {
    await rm(directory, { recursive: true });
  }
});
