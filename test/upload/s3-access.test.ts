import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { selfSign } from "../helpers/cluster-pki.ts";
import { startForwardProxy } from "../helpers/forward-proxy.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { expectSoon, expectStored, makeWorkbench, type Workbench } from "./workbench.ts";

type Handler = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "cdh-upload and the ways to reach a bucket", () => {
  let s3: S3Server;
  let proxy: FaultProxy;
  const open: AsyncDisposable[] = [];

  beforeAll(async () => {
    s3 = await startS3Server({ kind: "minio" });
    proxy = await startFaultProxy(s3.endpoint);
  });
  afterEach(async () => {
    for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
    proxy.decide = () => ({ kind: "pass" });
    proxy.seen.splice(0);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  /** A spool with everything set but the keys. */
  async function bench(env: Record<string, string> = {}): Promise<Workbench> {
    const { S3_ACCESS_KEY: _key, S3_SECRET: _secret, ...keyless } = s3.env;
    // Nothing of this machine's own accounts may help.
    const none = { HOME: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true" };
    const made = await makeWorkbench({ ...keyless, ...none, ...env });
    open.push(made);
    return made;
  }

  async function listen(server: Server): Promise<number> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    open.push({
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        server.close();
      },
    });
    return (server.address() as AddressInfo).port;
  }

  async function serve(handler: Handler): Promise<string> {
    return `http://127.0.0.1:${await listen(createServer(handler))}`;
  }

  const credentials = (expiresInMs = 3600e3) => ({
    AccessKeyId: s3.accessKey,
    SecretAccessKey: s3.secretKey,
    Expiration: new Date(Date.now() + expiresInMs).toISOString().replace(/\.\d+Z/, "Z"),
  });

  it("uses a role by web identity, as IRSA gives it", async () => {
    const asked: string[] = [];
    const sts = await serve((incoming, outgoing) => {
      incoming.on("data", (chunk: Buffer) => asked.push(chunk.toString()));
      incoming.on("end", () => {
        const { AccessKeyId, SecretAccessKey, Expiration } = credentials();
        outgoing.writeHead(200, { "content-type": "text/xml" });
        outgoing.end(
          `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${AccessKeyId}</AccessKeyId><SecretAccessKey>${SecretAccessKey}</SecretAccessKey><SessionToken></SessionToken><Expiration>${Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
        );
      });
    });
    const work = await bench();
    const token = join(work.directory, "token");
    await writeFile(token, "the-web-identity-token");
    const bundle = await work.publish();
    const result = await work.sweep([], {
      AWS_WEB_IDENTITY_TOKEN_FILE: token,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/cores",
      AWS_REGION: "eu-west-1",
      AWS_ENDPOINT_URL_STS: sts,
    });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(asked.join("")).toContain("WebIdentityToken=the-web-identity-token");
    await expectStored(s3, s3.bucket, bundle);
    await using forward = await startForwardProxy();
    await work.publish();
    const env = {
      AWS_WEB_IDENTITY_TOKEN_FILE: token,
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/cores",
      AWS_REGION: "eu-west-1",
      AWS_ENDPOINT_URL_STS: sts,
      HTTP_PROXY: forward.url,
    };
    const through = await work.sweep([], env);
    expect(through.exitCode, through.stdout + through.stderr).toBe(0);
    expect(new Set(forward.asked.map((url) => new URL(url).origin))).toEqual(new Set([sts, s3.endpoint]));
    forward.asked.length = 0;
    await work.publish();
    const direct = await work.sweep([], { ...env, NO_PROXY: "127.0.0.1" });
    expect(direct.exitCode, direct.stdout + direct.stderr).toBe(0);
    expect(forward.asked).toEqual([]);
  });

  it("uses EKS Pod Identity", async () => {
    const authorizations: (string | undefined)[] = [];
    const agent = await serve((incoming, outgoing) => {
      authorizations.push(incoming.headers.authorization);
      outgoing.end(JSON.stringify({ ...credentials(), Token: "" }));
    });
    const work = await bench();
    const token = join(work.directory, "token");
    await writeFile(token, "pod-token");
    const bundle = await work.publish();
    const env = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${agent}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
    };
    const result = await work.sweep([], env);
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(authorizations).toEqual(["pod-token"]);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("uses an instance profile through IMDSv2", async () => {
    const asked: string[] = [];
    const metadata = await serve((incoming, outgoing) => {
      asked.push(`${incoming.method} ${incoming.url} ${incoming.headers["x-aws-ec2-metadata-token"] ?? ""}`);
      if (incoming.method === "PUT") outgoing.end("session");
      else if (incoming.url?.endsWith("/security-credentials/") === true) outgoing.end("node-role");
      else outgoing.end(JSON.stringify({ Code: "Success", ...credentials(), Token: "" }));
    });
    const work = await bench({ AWS_EC2_METADATA_DISABLED: "false" });
    const bundle = await work.publish();
    const result = await work.sweep([], { AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(asked[0]).toContain("PUT /latest/api/token");
    expect(asked.slice(1).every((line) => line.endsWith(" session"))).toBe(true);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("uses a profile", async () => {
    const work = await bench();
    const file = join(work.directory, "credentials");
    await writeFile(
      file,
      `[other]\naws_access_key_id=x\naws_secret_access_key=y\n[cores]\naws_access_key_id=${s3.accessKey}\naws_secret_access_key=${s3.secretKey}\n`,
    );
    const bundle = await work.publish();
    const result = await work.sweep([], { AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "cores" });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("takes up credentials that change while it runs", async () => {
    let asked = 0;
    const agent = await serve((_incoming, outgoing) => {
      asked += 1;
      // Each is about to expire, so that it is asked for again; the first is of no use.
      const keys = asked === 1 ? { AccessKeyId: "stale", SecretAccessKey: "stale" } : {};
      outgoing.end(JSON.stringify({ ...credentials(2000), ...keys, Token: "" }));
    });
    const work = await bench();
    const bundle = await work.publish();
    const child = work.run({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${agent}/x` });
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    expect(asked).toBeGreaterThan(1);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("says so when there are no credentials at all", async () => {
    const work = await bench();
    const result = await runBuilt("cdh-upload", ["check"], { env: work.env });
    expect(result.exitCode).toBe(15);
    expect(result.stdout).toContain("no credentials found (CDH_STORE_DENIED)");
    expect(result.stdout).toContain("hint: set S3_ACCESS_KEY and S3_SECRET");
  });

  it("ignores the placeholders of a Secret that nobody filled in", async () => {
    const work = await bench({
      S3_ACCESS_KEY: "XXX",
      S3_SECRET: "XXX",
      AWS_ACCESS_KEY_ID: s3.accessKey,
      AWS_SECRET_ACCESS_KEY: s3.secretKey,
    });
    const bundle = await work.publish();
    expect((await work.sweep()).exitCode).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("sends session token, storage class and encryption as it is told, and metadata that says what it is", async () => {
    const work = await bench({
      ...s3.env,
      S3_ENDPOINT: proxy.endpoint,
      S3_SESSION_TOKEN: "the-token",
      S3_STORAGE_CLASS: "STANDARD_IA",
      S3_SSE: "aws:kms",
      S3_SSE_KMS_KEY_ID: "key-1",
    });
    await work.publish({ namespace: "team-a" });
    proxy.decide = (seen) =>
      seen.operation === "put" ? { kind: "answer", status: 403, body: "" } : { kind: "answer", status: 404, body: "" };
    await work.sweep();
    const put = proxy.seen.find((seen) => seen.operation === "put");
    expect(put?.headers).toMatchObject({
      "x-amz-security-token": "the-token",
      "x-amz-storage-class": "STANDARD_IA",
      "x-amz-server-side-encryption": "aws:kms",
      "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
      "x-amz-meta-cdh-signal": "SIGSEGV",
      "x-amz-meta-cdh-pod": "web-1",
      "x-amz-meta-cdh-node": "node-1",
      "if-none-match": "*",
    });
    // Older services know no newer checksums.
    expect(
      Object.keys(put?.headers ?? {}).filter((name) => name.startsWith("x-amz-checksum") || name === "x-amz-trailer"),
    ).toEqual([]);
  });

  it("puts bundles below the prefix, under the key template", async () => {
    const work = await bench({
      ...s3.env,
      STORE_URL: `s3://${s3.bucket}/clusters/a`,
      S3_KEY_TEMPLATE: "{{cluster}}/{date}/{node}/{signal}/{name}.zip",
      CLUSTER_NAME: "blue",
    });
    const bundle = await work.publish();
    expect((await work.sweep()).exitCode).toBe(0);
    await expectStored(s3, s3.bucket, bundle, "clusters/a/blue/2026-11-21/node-1/SIGSEGV");
  });

  it.each([
    ["true", /^127\.0\.0\.1:/, /^\/cores\/_host\//],
    ["false", /^cores\.s3\.example:/, /^\/_host\//],
  ])("addresses the bucket with S3_FORCE_PATH_STYLE=%s", async (style, host, path) => {
    const work = await bench({ ...s3.env, S3_FORCE_PATH_STYLE: style });
    const port = new URL(proxy.endpoint).port;
    const resolver = join(work.directory, "resolve.mjs");
    await writeFile(
      resolver,
      `import dns from "node:dns"; const { lookup } = dns; dns.lookup = (name, ...rest) => lookup("127.0.0.1", ...rest);`,
    );
    await work.publish();
    const endpoint = style === "true" ? proxy.endpoint : `http://s3.example:${port}`;
    proxy.decide = () => ({ kind: "answer", status: 404, body: "" });
    await work.sweep([], { S3_ENDPOINT: endpoint, NODE_OPTIONS: `--import=${resolver}` });
    expect(proxy.seen[0]?.headers.host).toMatch(host);
    expect(proxy.seen[0]?.path).toMatch(path);
  });

  it("keeps a path in the endpoint, and takes S3_REGION for the host where it is one", async () => {
    const work = await bench({ ...s3.env, S3_ENDPOINT: `${proxy.endpoint}/gateway/s3/` });
    await work.publish();
    proxy.decide = () => ({ kind: "answer", status: 404, body: "" });
    await work.sweep();
    expect(proxy.seen[0]?.path).toMatch(/^\/gateway\/s3\/cores\/_host\//);
    proxy.seen.splice(0);
    const { S3_ENDPOINT: _endpoint, ...env } = work.env;
    await runBuilt("cdh-upload", ["sweep"], { env: { ...env, S3_REGION: proxy.endpoint } });
    expect(proxy.seen[0]?.path).toMatch(/^\/cores\/_host\//);
  });

  it("trusts a service of one's own by S3_CA_BUNDLE only", async (context) => {
    const openssl = findTool("openssl");
    if (openssl.path === undefined) skipAloud(context, openssl.reason);
    const work = await bench({ ...s3.env });
    const { cert: ca, key } = selfSign(work.directory, "store", "IP:127.0.0.1");
    const upstream = new URL(s3.endpoint);
    const forward: Handler = (incoming, outgoing) => {
      const { method, url: path, headers } = incoming;
      const onward = request({ host: upstream.hostname, port: upstream.port, method, path, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(onward);
    };
    const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(ca) }, forward) as unknown as Server;
    const endpoint = `https://127.0.0.1:${await listen(tls)}`;
    const bundle = await work.publish({ coreBytes: 9_000_000 });
    const distrusted = await runBuilt("cdh-upload", ["check"], { env: { ...work.env, S3_ENDPOINT: endpoint } });
    expect(distrusted.exitCode).toBe(15);
    expect(distrusted.stdout).toContain("the certificate is not trusted");
    expect(distrusted.stdout).toContain("S3_CA_BUNDLE");
    const trusted = await work.sweep([], { S3_ENDPOINT: endpoint, S3_CA_BUNDLE: ca });
    expect(trusted.exitCode, trusted.stdout + trusted.stderr).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
    const missing = await runBuilt("cdh-upload", ["check"], { env: { ...work.env, S3_CA_BUNDLE: "/nowhere.pem" } });
    expect(missing.exitCode).toBe(10);
  });

  it.each([
    ["a wrong secret", { S3_SECRET: "wrong-secret-key" }, "the signature does not match", "S3_SECRET"],
    ["an unknown key", { S3_ACCESS_KEY: "nobody" }, "the access key is unknown", "S3_ACCESS_KEY"],
    ["a missing bucket", { S3_BUCKET_NAME: "nowhere" }, "the bucket does not exist", "create the bucket"],
    ["a closed port", { S3_ENDPOINT: "http://127.0.0.1:1" }, "connection refused", "check the endpoint"],
    [
      "a name that does not exist",
      { S3_ENDPOINT: "http://s3.invalid" },
      "the name cannot be resolved now|no such host",
      "check the endpoint",
    ],
  ])("check explains %s", async (_name, env, reason, hint) => {
    const work = await bench(s3.env);
    const result = await runBuilt("cdh-upload", ["check"], { env: { ...work.env, ...env } });
    expect(result.exitCode, result.stdout + result.stderr).toBe(15);
    expect(result.stdout).toMatch(new RegExp(reason));
    expect(result.stdout).toContain(hint);
  });
});
