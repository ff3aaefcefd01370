import { describe, expect, it } from "vitest";
import { parseLocation } from "./location.ts";

const invalid = expect.objectContaining({ code: "CDH_CONFIG_INVALID" });

describe("parseLocation", () => {
  it("tells paths, files and buckets", () => {
    expect(parseLocation("./a/b.zip")).toEqual({ kind: "path", path: "./a/b.zip" });
    expect(parseLocation("file:///a/b%20c.zip")).toEqual({ kind: "path", path: "/a/b c.zip" });
    expect(parseLocation("s3://bucket")).toEqual({ kind: "store", bucketUrl: "s3://bucket", key: "" });
    expect(parseLocation("s3://bucket/a/b.zip")).toEqual({
      kind: "store",
      bucketUrl: "s3://bucket",
      key: "a/b.zip",
    });
    expect(parseLocation("azblob://container/a")).toEqual({ kind: "store", bucketUrl: "azblob://container", key: "a" });
    expect(parseLocation("C:\\cores\\a.zip")).toEqual({ kind: "path", path: "C:\\cores\\a.zip" });
    for (const wrong of ["ftp://a/b", "s3:///x", "file://host/x"]) expect(() => parseLocation(wrong)).toThrow(invalid);
  });
});
