import { describe, expect, it } from "vitest";
import { CdhError } from "../../base/errors.ts";
import { isMissingObject, isTransient, toStoreError } from "./errors.ts";

function service(name: string, httpStatusCode: number): Error {
  return Object.assign(new Error(name), { name, $metadata: { httpStatusCode } });
}

function translate(error: unknown): CdhError {
  const translated = toStoreError(error, "store a.zip", "s3://cores");
  expect(translated).toBeInstanceOf(CdhError);
  return translated as CdhError;
}

describe("toStoreError", () => {
  it.each([
    [service("AccessDenied", 403), "CDH_STORE_DENIED", false],
    [service("ExpiredToken", 400), "CDH_STORE_DENIED", false],
    [service("SignatureDoesNotMatch", 403), "CDH_STORE_DENIED", false],
    [service("SlowDown", 503), "CDH_STORE", true],
    [service("InternalError", 200), "CDH_STORE", true],
    [service("RequestTimeTooSkewed", 403), "CDH_STORE", true],
    [service("NoSuchBucket", 404), "CDH_STORE", false],
    [service("BadDigest", 400), "CDH_STORE_MISMATCH", true],
    [service("InvalidPart", 400), "CDH_STORE_MISMATCH", true],
    [service("NoSuchUpload", 404), "CDH_STORE_MISMATCH", false],
    [service("EntityTooLarge", 400), "CDH_STORE_REFUSED", false],
    [service("PreconditionFailed", 412), "CDH_STORE_CONFLICT", false],
    [service("SomethingNew", 400), "CDH_STORE", false],
    [service("SomethingNew", 500), "CDH_STORE", true],
    [service("SomethingNew", 429), "CDH_STORE", true],
    [service("TimeoutError", 0), "CDH_STORE_UNREACHABLE", true],
    [Object.assign(new Error("x"), { code: "ECONNREFUSED" }), "CDH_STORE_UNREACHABLE", true],
    [new Error("x", { cause: Object.assign(new Error("y"), { code: "ENOTFOUND" }) }), "CDH_STORE_UNREACHABLE", true],
    [Object.assign(new Error("x"), { code: "SELF_SIGNED_CERT_IN_CHAIN" }), "CDH_STORE_UNREACHABLE", true],
    [new Error("socket hang up"), "CDH_STORE_UNREACHABLE", true],
  ])("translates %s to %s", (error, code, transient) => {
    const translated = translate(error);
    expect(translated.code).toBe(code);
    expect(isTransient(translated)).toBe(transient);
    expect(translated.message).toMatch(/^cannot store a\.zip in s3:\/\/cores: /);
  });

  it("leaves our own errors and bugs as they are", () => {
    const own = new CdhError("CDH_DISK", "x");
    const bug = new TypeError("undefined is not a function");
    expect(toStoreError(own, "a", "b")).toBe(own);
    expect(toStoreError(bug, "a", "b")).toBe(bug);
    expect(isTransient(bug)).toBe(false);
  });
});

describe("isMissingObject", () => {
  it.each([
    [service("NotFound", 404), true],
    [service("NoSuchKey", 404), true],
    [service("UnknownError", 404), true],
    [service("NoSuchBucket", 404), false],
    [service("NoSuchUpload", 404), false],
    [service("AccessDenied", 403), false],
    [undefined, false],
  ])("judges %s", (error, wanted) => {
    expect(isMissingObject(error)).toBe(wanted);
  });
});
