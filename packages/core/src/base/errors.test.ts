import { expect, it } from "vitest";
import { errnoOf, reasonOf } from "./errors.ts";

it.each([
  ["ENOSPC", "ENOSPC", "no space left on device"],
  ["Unknown system error -116", "ESTALE", "the mount's server forgot it (stale file handle)"],
  ["Unknown system error -122", "EDQUOT", "disk quota exceeded"],
])("names %s", (code, errno, reason) => {
  const error = Object.assign(new Error(`${code}: whatever Node says, open '/x'`), { code });
  expect(errnoOf(error)).toBe(errno);
  expect(reasonOf(error)).toBe(reason);
});
