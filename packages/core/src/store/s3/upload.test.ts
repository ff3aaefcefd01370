import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { expect, it } from "vitest";
import { FileBytes } from "../file-bytes.ts";

const PART_BYTES = 5 * 1024 * 1024;

/** Note each name that is asked for. */
function noting<T extends object>(target: T, asked: Set<string>): T {
  return new Proxy(target, {
    get: (object, name): unknown => {
      asked.add(String(name));
      const value: unknown = Reflect.get(object, name, object);
      return typeof value === "function" ? (value.bind(object) as unknown) : value;
    },
  });
}

/** Let lib-storage send a file that is not there through a client that only notes. */
async function observe(sizeBytes: number) {
  const real = new S3Client({
    region: "eu-west-1",
    endpoint: "http://localhost",
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
  });
  const [client, config, body] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const commands: object[] = [];
  const send = async (command: object): Promise<object> => {
    commands.push(command);
    return command instanceof CreateMultipartUploadCommand ? { UploadId: "1" } : { ETag: '"e"' };
  };
  const upload = new Upload({
    client: noting({ config: noting(real.config, config), send }, client) as unknown as S3Client,
    params: { Bucket: "b", Key: "k", Body: noting(new FileBytes(sizeBytes), body), ContentLength: sizeBytes },
    partSize: PART_BYTES,
    queueSize: 2,
    leavePartsOnError: true,
  });
  const { ETag: etag } = await upload.done();
  return { etag, commands, client, config, body };
}

// What `UploadClient` and `FileBytes` stand in for. An update of the library that asks for more fails here, by name.
it.each([
  [1000, [PutObjectCommand]],
  [
    2 * PART_BYTES + 1,
    [
      CreateMultipartUploadCommand,
      UploadPartCommand,
      UploadPartCommand,
      UploadPartCommand,
      CompleteMultipartUploadCommand,
    ],
  ],
] as const)("lib-storage needs no more of client and body for %i bytes", async (sizeBytes, commands) => {
  const seen = await observe(sizeBytes);
  expect(seen.etag).toBe('"e"');
  expect(seen.commands.map((command) => command.constructor)).toEqual(commands);
  expect([...seen.client].filter((name) => !["config", "send"].includes(name))).toEqual([]);
  const known = ["requestHandler", "endpoint", "forcePathStyle", "requestChecksumCalculation"];
  expect([...seen.config].filter((name) => !known.includes(name))).toEqual([]);
  expect([...seen.body].filter((name) => !["byteLength", "length", "subarray"].includes(name))).toEqual([]);
  const parts = seen.commands.flatMap((command) => (command instanceof UploadPartCommand ? [command.input] : []));
  const bytes = parts.map(({ Body }) => (Body instanceof FileBytes ? Body.byteLength : -1));
  expect(bytes.toSorted((left, right) => right - left)).toEqual(parts.length === 0 ? [] : [PART_BYTES, PART_BYTES, 1]);
});
