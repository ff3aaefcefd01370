import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { ownedItems } from "./owned-items.ts";

async function* numbers(): AsyncGenerator<number> {
  yield 1;
  yield 2;
}

async function* broken(): AsyncGenerator<number> {
  yield 1;
  throw new Error("broken");
}

it.each([
  ["at the end", numbers(), 3],
  ["before the first item", numbers(), 0],
  ["in the middle", numbers(), 1],
])("gives back once, %s", async (_when, items, steps) => {
  let released = 0;
  const owned = ownedItems(items, () => (released += 1));
  for (let step = 0; step < steps; step += 1) await owned.next();
  expect(released).toBe(steps === 3 ? 1 : 0);
  await owned.return?.();
  await owned.return?.();
  expect(released).toBe(1);
  expect(await owned.next()).toEqual({ done: true, value: undefined });
});

it("gives back at an error", async () => {
  let released = 0;
  const owned = ownedItems(broken(), () => (released += 1));
  await owned.next();
  await expect(owned.next()).rejects.toThrow("broken");
  expect(released).toBe(1);
});

it("gives back what was forgotten unread", () => {
  const module = fileURLToPath(new URL("owned-items.ts", import.meta.url));
  const program = `
    import { ownedItems } from ${JSON.stringify(module)};
    async function* numbers() { yield 1; }
    (() => void ownedItems(numbers(), () => console.log("released")))();
    for (let turn = 0; turn < 4; turn += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  `;
  const args = ["--expose-gc", "--no-warnings", "--input-type=module", "-e", program];
  expect(execFileSync(process.execPath, args, { encoding: "utf8" })).toBe("released\n");
});
