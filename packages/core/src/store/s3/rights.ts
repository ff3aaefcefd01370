import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type CreateMultipartUploadCommandInput,
} from "@aws-sdk/client-s3";
import { CdhError } from "../../base/errors.ts";
import type { CheckedRight } from "../store.ts";
import type { S3Requests } from "./request.ts";

/** What each step of a check needs of a bucket's policy. */
export const S3_RIGHTS = {
  write: "s3:PutObject",
  read: "s3:GetObject",
  list: "s3:ListBucket",
  delete: "s3:DeleteObject",
} as const;

/**
 * Try what an upload that was interrupted needs: see that it is there, see its parts, abort it. The failures of these are
 * no trouble for uploads that go through, which is why nobody would notice them.
 * @param create how an object is made, without its key
 */
export async function* checkUploadRights(
  requests: S3Requests,
  object: { Bucket: string; Key: string },
  create: Omit<CreateMultipartUploadCommandInput, "Bucket" | "Key">,
  signal: AbortSignal | undefined,
): AsyncGenerator<CheckedRight> {
  const { Bucket, Key } = object;
  const begun = await requests.send(
    ({ client, abortSignal }) =>
      client.send(new CreateMultipartUploadCommand({ ...create, ...object }), { abortSignal }),
    { what: `begin an upload of ${Key}`, signal },
  );
  const upload = { ...object, UploadId: begun.UploadId };
  yield await tryRight(
    "list uploads",
    "s3:ListBucketMultipartUploads",
    "uploads that are interrupted begin anew, and their parts stay",
    async () => {
      // Exactly the key as prefix, because MinIO lists nothing for a shorter one.
      const { Uploads = [] } = await requests.send(
        ({ client, abortSignal }) =>
          client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }), { abortSignal }),
        { what: `list unfinished uploads of ${Key}`, signal },
      );
      if (!Uploads.some(({ UploadId }) => UploadId === upload.UploadId))
        throw new CdhError("CDH_STORE", "the store does not list an upload that was begun");
      return "found";
    },
  );
  yield await tryRight(
    "list parts",
    "s3:ListMultipartUploadParts",
    "uploads that are interrupted begin anew",
    async () => {
      await requests.send(({ client, abortSignal }) => client.send(new ListPartsCommand(upload), { abortSignal }), {
        what: `list the parts of ${Key}`,
        signal,
      });
      return "none yet";
    },
  );
  yield await tryRight(
    "abort upload",
    "s3:AbortMultipartUpload",
    "parts of interrupted uploads stay in the bucket and cost storage",
    async () => {
      await requests.send(
        ({ client, abortSignal }) => client.send(new AbortMultipartUploadCommand(upload), { abortSignal }),
        { what: `abort an upload of ${Key}`, signal },
      );
      return "gone";
    },
  );
}

async function tryRight(
  step: CheckedRight["step"],
  right: string,
  without: string,
  work: () => Promise<string>,
): Promise<CheckedRight> {
  try {
    return { step, right, without, detail: await work() };
  } catch (error) {
    return { step, right, without, error };
  }
}
