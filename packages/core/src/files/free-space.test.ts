import { expect, it } from "vitest";
import { measureSpace, measureSpaceSync, tryMeasureSpace } from "./free-space.ts";

it("measures a file system", async () => {
  const { totalBytes, availableBytes, totalInodes, freeInodes } = await measureSpace("/");
  expect(totalBytes).toBeGreaterThan(availableBytes);
  expect(totalInodes).toBeGreaterThanOrEqual(freeInodes);
  expect(measureSpaceSync("/").totalBytes).toBe(totalBytes);
  expect((await tryMeasureSpace("/"))?.totalBytes).toBe(totalBytes);
});

it("says why one cannot be measured, or nothing where nobody asks why", async () => {
  await expect(measureSpace("/no/such/place")).rejects.toMatchObject({ code: "ENOENT" });
  expect(() => measureSpaceSync("/no/such/place")).toThrow("ENOENT");
  expect(await tryMeasureSpace("/no/such/place")).toBeUndefined();
});
