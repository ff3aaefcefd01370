import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { notBuilt, runBuilt, type BuiltResult, type Program } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";

const MIB = 1024 * 1024;

let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** Serve as S3 does, with an answer of the test's own. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  server = createServer((request, response) => {
    response.on("error", () => {});
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Write pieces for as long as somebody reads, one gigabyte at most. */
function pour(response: ServerResponse, piece: string): void {
  const bytes = Buffer.from(piece.repeat(Math.ceil(MIB / piece.length)));
  let left = 1024;
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= 1;
      if (!response.write(bytes)) return void response.once("drain", more);
    }
    response.end();
  };
  more();
}

/** What each store's server says, and how a program is sent to it. */
interface Dialect {
  url: string;
  type: string;
  env(endpoint: string): Record<string, string>;
  /** The beginning of a listing, before its objects. */
  head: string;
  object: string;
  /** The least that a parser makes an object of. */
  element: string;
  /** The end of a page that another one follows. */
  next(token: string): string;
  error: string;
}

const DIALECTS: Record<string, Dialect> = {
  S3: {
    url: "s3://cores",
    type: "application/xml",
    env: (endpoint) => ({
      S3_ENDPOINT: endpoint,
      S3_ACCESS_KEY: "key",
      S3_SECRET: "secret",
      S3_REGION: "us-east-1",
    }),
    head: '<?xml version="1.0"?><ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>1</KeyCount>',
    object:
      "<Contents><Key>shop/a.zip</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag><Size>5</Size></Contents>",
    element: "<Contents/>",
    next: (token) =>
      `<IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken></ListBucketResult>`,
    error: "<Error><Code>AccessDenied</Code><Message>",
  },
  Azure: {
    url: "azblob://cores",
    type: "application/xml",
    env: (endpoint) => ({
      AZURE_STORAGE_ENDPOINT: `${endpoint}/account`,
      AZURE_STORAGE_ACCOUNT: "account",
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
    }),
    head: '<?xml version="1.0"?><EnumerationResults ContainerName="b"><Blobs>',
    object:
      "<Blob><Name>shop/a.zip</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>0</Etag><Content-Length>5</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>",
    element: "<Blob/>",
    next: (token) => `</Blobs><NextMarker>${token}</NextMarker></EnumerationResults>`,
    error: "<Error><Code>AuthorizationFailure</Code><Message>",
  },
  Google: {
    url: "gs://cores",
    type: "application/json",
    env: (endpoint) => ({ STORAGE_EMULATOR_HOST: endpoint }),
    head: '{"items":[{}',
    object: ',{"name":"shop/a.zip","size":"5","updated":"2026-01-01T00:00:00Z","generation":"1"}',
    element: ",{}",
    next: (token) => `],"nextPageToken":"${token}"}`,
    error: '{"error":{"message":"',
  },
};

function run(program: Program, args: readonly string[], env: Record<string, string>): Promise<BuiltResult> {
  return runBuilt(program, [...args], { env: { PATH: process.env["PATH"] ?? "", ...env }, timeoutMs: 60_000 });
}

describeUnless(notBuilt("cdh-inspect"), "an answer of a store", () => {
  describe.each(Object.entries(DIALECTS))("of %s", (_name, dialect) => {
    const { url, type, head } = dialect;
    const ls = (endpoint: string): Promise<BuiltResult> => run("cdh-inspect", ["ls", url], dialect.env(endpoint));

    it.each([
      ["objects", () => dialect.object],
      ["empty elements", () => dialect.element],
      ["texts", () => "x".repeat(1024)],
    ])(
      "whose %s never end is cut off, with little memory",
      async (_what, piece) => {
        const endpoint = await serve((_request, response) => {
          response.writeHead(200, { "content-type": type });
          response.write(head);
          pour(response, piece());
        });
        const result = await ls(endpoint);
        expect(result).toMatchObject({ timedOut: false, exitCode: 15 });
        expect(result.stderr).toMatch(/the answer (is longer than 8388608 bytes|has more than 400000 elements)/);
        expect(result.peakRssBytes).toBeLessThan(300 * MIB);
      },
      90_000,
    );

    it("that holds as many empty elements as its bytes allow, and ends, is refused with little memory", async () => {
      const endpoint = await serve((_request, response) => {
        response.writeHead(200, { "content-type": type });
        const count = Math.floor((8 * MIB - 1000) / dialect.element.length);
        response.end(`${head}${dialect.element.repeat(count)}${dialect.next("")}`);
      });
      const result = await ls(endpoint);
      expect(result).toMatchObject({ timedOut: false, exitCode: 15 });
      expect(result.peakRssBytes).toBeLessThan(300 * MIB);
    }, 90_000);

    it("that is an error and never ends is cut off too", async () => {
      const endpoint = await serve((_request, response) => {
        response.writeHead(403, { "content-type": type });
        response.write(dialect.error);
        pour(response, "no ");
      });
      for (const args of [
        ["ls", url],
        ["show", `${url}/shop/a.zip`],
      ]) {
        const result = await run("cdh-inspect", args, dialect.env(endpoint));
        expect(result).toMatchObject({ timedOut: false, exitCode: 15 });
        expect(result.peakRssBytes).toBeLessThan(300 * MIB);
      }
    }, 120_000);

    it.each([
      ["repeats its tokens", (page: number) => page % 3, () => dialect.object, 10],
      ["sends pages of nothing", (page: number) => page, () => "", 1010],
    ])(
      "that %s ends the listing",
      async (_what, token, content, most) => {
        let pages = 0;
        const endpoint = await serve((_request, response) => {
          pages += 1;
          response.writeHead(200, { "content-type": type });
          response.end(
            `${content() === "" ? head.replace("{}", "") : head}${content()}${dialect.next(`t${token(pages)}`)}`,
          );
        });
        const result = await ls(endpoint);
        expect(result).toMatchObject({ timedOut: false, exitCode: 15 });
        expect(result.stderr).toContain("goes round and never ends");
        expect(pages).toBeLessThan(most);
      },
      90_000,
    );
  });
});

const { head: LIST_HEAD, object: CONTENT, env: s3Env } = DIALECTS["S3"] as Dialect;

describeUnless(notBuilt("cdh-inspect"), "an S3 server's answer", () => {
  it("to a range is taken only as far as was asked", async () => {
    const endpoint = await serve((request, response) => {
      const head = { "content-length": "1000", etag: '"0"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" };
      if (request.method === "HEAD") return void response.writeHead(200, head).end();
      if (request.url?.includes("list-type") === true)
        return void response.end(`${LIST_HEAD}${CONTENT}<IsTruncated>false</IsTruncated></ListBucketResult>`);
      response.writeHead(200, { "content-type": "application/zip" });
      pour(response, "PK");
    });
    const result = await run("cdh-inspect", ["show", "s3://cores/shop/a.zip"], s3Env(endpoint));
    expect(result).toMatchObject({ timedOut: false, exitCode: 16 });
    expect(result.peakRssBytes).toBeLessThan(300 * MIB);
  }, 90_000);
});
