import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { DEFAULT_FILENAME_TEMPLATE, NAME_MAX_BYTES, NAME_VARIABLES, renderName, type NameVariables } from "./naming.ts";

const UUID = "11112222-3333-4444-5555-666677778888";

function variables(changes: Partial<NameVariables> = {}): NameVariables {
  return {
    ...(Object.fromEntries(NAME_VARIABLES.map((name) => [name, name])) as NameVariables),
    uuid: UUID,
    ...changes,
  };
}

describe("renderName", () => {
  it.each([
    ["{uuid}-{exe_name}", {}, `${UUID}-exe_name`],
    ["{{uuid}}-{{ pid }}", {}, `${UUID}-pid`],
    ["{uuid}-{exe_name}", { exe_name: "../../etc/passwd" }, `${UUID}-.._.._etc_passwd`],
    // Hosts and programs keep their names, as in IBM's bundles.
    [
      "{hostname}-{exe_name}-{uuid}",
      { hostname: "node-1.example.com", exe_name: "python3.11" },
      `node-1.example.com-python3.11-${UUID}`,
    ],
    ["{exe_name}-{uuid}", { exe_name: "..x" }, `_x-${UUID}`],
    ["{uuid}-{exe_name}", { exe_name: "a\u0000b\nc\u007f\u202e" }, `${UUID}-a_b_c__`],
    ["{uuid}-{exe_name}", { exe_name: "\ud800" }, `${UUID}-_`],
    ["{uuid}-{exe_name}", { exe_name: "{pid}" }, `${UUID}-{pid}`],
    ["{uuid}-{exe_name}-{pid}", { exe_name: "a}b{" }, `${UUID}-a}b{-pid`],
    [".{uuid}", {}, `_${UUID}`],
    // Two crashes never share a name.
    ["core", {}, `core-${UUID}`],
    ["{exe_name}", {}, `exe_name-${UUID}`],
  ])("%s %j", (template, changes, name) => expect(renderName(template, variables(changes)).name).toBe(name));

  it.each(["{nope}", "{uuid", "uuid}", "", "{}", "{{{uuid}}}", "{uuid}{"])(
    "a bad template gives the uuid or keeps it: %s",
    (template) => {
      const { name, problem } = renderName(template, variables());
      expect(name).toContain(UUID);
      if (name === UUID) expect(problem ?? "").toMatch(/FILENAME_TEMPLATE|^$/);
    },
  );

  it("is a safe file name for any template and any values, as long as the file system takes", () => {
    const parts = [
      "/",
      "..",
      ".",
      "\\",
      "\u0000",
      "\n",
      "é",
      "𝕏",
      "\ud83d",
      "{",
      "}",
      "{uuid}",
      "{exe_name}",
      "x".repeat(120),
      " ",
      "-",
      "%s",
      "\u2028",
    ];
    for (let seed = 1; seed <= 5000; seed += 1) {
      const random = new SeededRandom(seed);
      const text = (): string => Array.from({ length: random.integer(8) }, () => random.pick(parts)).join("");
      const template = random.integer(2) === 0 ? DEFAULT_FILENAME_TEMPLATE : text();
      const values = variables({ exe_name: text(), hostname: text(), pid: text(), signal: text(), namespace: text() });
      const { name } = renderName(template, values);
      const what = `seed ${seed}: ${JSON.stringify(name)}`;
      expect(name, what).toContain(UUID);
      // eslint-disable-next-line no-control-regex -- control characters are what must not be there
      expect(name, what).not.toMatch(/^\.|[/\\\u0000-\u001f\u007f]/);
      expect(Buffer.byteLength(name), what).toBeLessThanOrEqual(NAME_MAX_BYTES);
      expect(name.isWellFormed(), what).toBe(true);
    }
  });
});
