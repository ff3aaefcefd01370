import { expect, it } from "vitest";
import { shortenNames } from "./short-names.ts";

it("shortens names to what tells them apart", () => {
  const short = shortenNames([
    "s3://cores/a/11112222-3333-dump.zip",
    "s3://cores/b/11112222-4444-dump.zip",
    "C:\\cores\\99998888-0000-dump.zip",
    "s3://cores/a/core.1",
    "s3://cores/a/crash.zip",
    "s3://cores/b/99990000-same.zip",
    "s3://cores/c/99990000-same.zip",
  ]);
  expect(Object.fromEntries(short)).toEqual(
    Object.fromEntries([
      ["s3://cores/a/11112222-3333-dump.zip", "11112222-3"],
      ["s3://cores/b/11112222-4444-dump.zip", "11112222-4"],
      ["s3://cores/a/crash.zip", "crash"],
      ["C:\\cores\\99998888-0000-dump.zip", "99998888"],
    ]),
  );
});
