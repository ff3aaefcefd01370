import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { GROUP_FOLDER } from "../../packages/cdh-api/src/groups/state-keys.ts";
import { STATE_FOLDER } from "../../packages/cdh-api/src/manifests/state-limits.ts";
import { SEGMENTS_FOLDER } from "../../packages/cdh-api/src/segments/folder.ts";
import { REPOSITORY } from "../helpers/repository.ts";

const FOLDER = join(REPOSITORY, "charts/core-dump-handler/policies");
const PROGRAMS = ["uploader", "inspector", "api"] as const;

/** What each program asks of a store, in each cloud's own words. */
const RIGHTS = {
  s3: {
    uploader:
      "s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:ListBucket s3:ListBucketMultipartUploads s3:ListMultipartUploadParts s3:PutObject",
    inspector: "s3:GetObject s3:ListBucket",
    api: "s3:DeleteObject s3:GetObject s3:ListBucket s3:PutObject",
  },
  azure: { uploader: "add/action delete read write", inspector: "read", api: "add/action delete read write" },
  gcs: {
    uploader: "storage.objects.create storage.objects.delete storage.objects.get storage.objects.list",
    inspector: "storage.objects.get storage.objects.list",
    api: "iam.serviceAccounts.signBlob storage.objects.create storage.objects.delete storage.objects.get storage.objects.list",
  },
} as const;

/** Where uploaders have nothing to write. */
const API_FOLDERS = [SEGMENTS_FOLDER, GROUP_FOLDER, STATE_FOLDER].map((folder) => `${folder.split("/")[0] ?? ""}/`);

const read = (name: string): unknown => parse(readFileSync(join(FOLDER, name), "utf8"));

interface Statement {
  Effect: string;
  Action: string[];
  Resource: string[];
}

describe("the least rights of each program", () => {
  it("are there for every cloud and described", () => {
    const names = readdirSync(FOLDER).filter((name) => name !== "README.md");
    const roles = PROGRAMS.flatMap((program) => [
      `aws-${program}.json`,
      `minio-${program}.json`,
      `azure-${program}.json`,
      `gcs-${program}.yaml`,
    ]);
    const wanted = [...roles, "azure-uploader-condition.txt", "gcs-uploader-condition.yaml"];
    expect(names.toSorted()).toEqual(wanted.toSorted());
    const readme = readFileSync(join(FOLDER, "README.md"), "utf8");
    for (const name of wanted) expect(readme).toContain(name);
  });

  it.each(PROGRAMS.flatMap((program) => [["aws", program] as const, ["minio", program] as const]))(
    "%s %s: rights on objects name objects, rights on the bucket the bucket",
    (cloud, program) => {
      const policy = read(`${cloud}-${program}.json`) as { Version: string; Statement: Statement[] };
      expect(policy.Version).toBe("2012-10-17");
      const allowed = policy.Statement.filter(({ Effect }) => Effect === "Allow");
      expect(
        allowed
          .flatMap(({ Action }) => Action)
          .toSorted()
          .join(" "),
      ).toBe(RIGHTS.s3[program]);
      for (const { Action, Resource } of allowed) {
        const isAboutBucket = Action.every((action) => action.startsWith("s3:ListBucket"));
        expect(Resource).toEqual([isAboutBucket ? "arn:aws:s3:::my-cores" : "arn:aws:s3:::my-cores/*"]);
      }
    },
  );

  it("an uploader may write nothing of what only the API writes, with or without a prefix, in every cloud", () => {
    for (const cloud of ["aws", "minio"]) {
      const { Statement: all } = read(`${cloud}-uploader.json`) as { Statement: Statement[] };
      const [denied, ...more] = all.filter(({ Effect }) => Effect === "Deny");
      expect(more).toEqual([]);
      expect(denied?.Action.toSorted()).toEqual(["s3:DeleteObject", "s3:PutObject"]);
      const keys = denied?.Resource.map((one) => one.replace("arn:aws:s3:::my-cores/", ""));
      expect(keys).toEqual(API_FOLDERS.flatMap((folder) => [`${folder}*`, `*/${folder}*`]));
    }
    const azure = readFileSync(join(FOLDER, "azure-uploader-condition.txt"), "utf8");
    for (const action of ["write", "add/action", "delete"]) expect(azure).toContain(`blobs/${action}'})`);
    for (const folder of API_FOLDERS)
      for (const path of [`${folder}*`, `*/${folder}*`]) expect(azure).toContain(`blobs:path] StringNotLike '${path}'`);
    const google = read("gcs-uploader-condition.yaml") as { title: string; expression: string };
    for (const folder of API_FOLDERS)
      expect(google.expression).toContain(`!resource.name.startsWith("projects/_/buckets/my-cores/objects/${folder}")`);
  });

  it.each(PROGRAMS)("azure %s: a custom role with data rights on blobs", (program) => {
    const role = read(`azure-${program}.json`) as Record<string, string[]> & { IsCustom: boolean };
    const prefix = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/";
    expect(role.IsCustom).toBe(true);
    expect(role["DataActions"]?.every((action) => action.startsWith(prefix))).toBe(true);
    const rights = role["DataActions"]?.map((action) => action.slice(prefix.length)).toSorted();
    expect(rights?.join(" ")).toBe(RIGHTS.azure[program]);
    expect(role["Actions"]?.some((action) => action.includes("generateUserDelegationKey"))).toBe(program === "api");
    expect(role["AssignableScopes"]).toHaveLength(1);
  });

  it.each(PROGRAMS)("gcs %s: a custom role", (program) => {
    const role = read(`gcs-${program}.yaml`) as { title: string; stage: string; includedPermissions: string[] };
    expect(role.title).not.toBe("");
    expect(role.stage).toBe("GA");
    expect(role.includedPermissions.toSorted().join(" ")).toBe(RIGHTS.gcs[program]);
  });
});
