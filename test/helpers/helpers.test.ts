import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runPath } from "./built.ts";
import { compileCrashPrograms, compilerUnavailable } from "./crash-programs.ts";
import { REPOSITORY } from "./repository.ts";
import { runCrash } from "./run-crash.ts";
import { listKeys, s3Request } from "./s3-request.ts";
import { startS3Server } from "./s3-server.ts";
import { describeUnless, skipAloud } from "./skip.ts";
import { startTied } from "./tied-child.ts";
import { findTool, PINNED_TOOLS } from "./tools.ts";

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

describe("a tied child", () => {
  it("ends by the signal it is told, and its status is seen", async () => {
    await using child = startTied("/bin/sh", [
      "-c",
      "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    await expect.poll(() => child.output()).toContain("up");
    await child.stop("TERM");
    expect(await child.ended).toBe(7);
    expect(child.output()).toContain("asked");
  });

  it("dies with its test, even when that is killed", async () => {
    const directory = mkdtempSync(join(tmpdir(), "cdh-tied-"));
    const script = join(directory, "parent.ts");
    writeFileSync(
      script,
      `import { startTied } from ${JSON.stringify(join(REPOSITORY, "test/helpers/tied-child.ts"))};
const child = startTied("/bin/sh", ["-c", "echo pid $$; exec sleep 300"]);
const timer = setInterval(() => { if (child.output() !== "") { process.stdout.write(child.output()); clearInterval(timer); } }, 10);
`,
    );
    const parent = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    parent.stdout.setEncoding("utf8");
    const [said] = (await once(parent.stdout, "data")) as [string];
    const pid = Number(/pid (\d+)/.exec(said)?.[1]);
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  });
});

describe("a program that is run", () => {
  it("with closed output has no descriptors 1 and 2", async () => {
    const args = ["-c", "[ ! -e /proc/$$/fd/1 ] && [ ! -e /proc/$$/fd/2 ]"];
    expect(await runPath("/bin/sh", args, { closeOutput: true, env: {}, stdin: "" })).toMatchObject({
      exitCode: 0,
      stdout: "",
      stderr: "",
    });
    expect((await runPath("/bin/sh", args, { env: {}, stdin: "" })).exitCode).toBe(1);
  });

  it("is killed when its time is over", async () => {
    const result = await runPath("/bin/sleep", ["60"], { timeoutMs: 100 });
    expect(result).toMatchObject({ exitCode: null, signal: "SIGKILL", timedOut: true });
  });
});

describeUnless(compilerUnavailable(), "the crash programs", () => {
  it.each([
    { program: "segv", signal: "SIGSEGV" },
    { program: "abrt", signal: "SIGABRT" },
    { program: "bus", signal: "SIGBUS" },
    { program: "fpe", signal: "SIGFPE" },
    { program: "ill", signal: "SIGILL" },
    { program: "quit", signal: "SIGQUIT" },
    { program: "trap", signal: "SIGTRAP" },
    { program: "threads", signal: "SIGSEGV" },
    { program: "hostile-name", signal: "SIGSEGV" },
  ] as const)("$program dies of $signal", async ({ program, signal }) => {
    const crash = await runCrash(compileCrashPrograms()[program], [], { rlimitCore: { soft: 0, hard: 0 } });
    expect(crash).toMatchObject({ signalName: signal, exitCode: -1 });
    expect(crash.holdMs).toBeGreaterThan(0);
  });

  it.each(["mixed", "zero", "random"])("fill touches as much %s memory as asked for", async (kind) => {
    const crash = await runCrash(compileCrashPrograms().fill, ["32", kind], { rlimitCore: { soft: 0, hard: 0 } });
    expect(crash.maxRssBytes).toBeGreaterThan(32 * 1024 * 1024);
  });
});

describe("pinned tools", () => {
  // Three are folders, two do not know their version.
  it.each(
    PINNED_TOOLS.filter(
      (name) =>
        name !== "crds" &&
        name !== "crio" &&
        name !== "azurite" &&
        name !== "pystack" &&
        name !== "fake-gcs-server" &&
        name !== "helm-unittest",
    ),
  )("%s runs in the version that is pinned", async (name) => {
    const args = {
      minio: ["--version"],
      versitygw: ["--version"],
      crictl: ["--version"],
      "crictl-old": ["--version"],
      dlv: ["version"],
      helm: ["version", "--short"],
      kubeconform: ["-v"],
      kubernetes: ["kubectl", "version", "--client"],
      "cri-dockerd": ["--version"],
    }[name];
    const { path, reason } = findTool(name);
    if (path === undefined) return expect(reason).toContain("test/tools/install.sh");
    const pinned = /\s(v\d\S+)/.exec(
      readFileSync(join(REPOSITORY, "test/tools", name, "go.mod"), "utf8")
        .split("\n")
        .find((line) =>
          (name.startsWith("crictl")
            ? /cri-tools /
            : /minio\/minio |go-delve\/delve |versitygw |helm\/v3 |kubeconform |k8s\.io\/kubernetes |cri-dockerd v/
          ).test(line),
        ) ?? "",
    );
    const said = await runPath(path, args);
    expect(said.exitCode).toBe(0);
    if (name !== "minio") expect(said.stdout + said.stderr).toContain(pinned?.[1]?.replace(/^v/, ""));
  });
});

describe.each(["minio", "versitygw", "s3rver"] as const)("the S3 server %s", (kind) => {
  it("keeps what it is given, also when it is killed and started again", async (context) => {
    if (kind !== "s3rver") {
      const { reason } = findTool(kind);
      if (reason !== undefined) skipAloud(context, reason);
    }
    await using server = await startS3Server({ kind });
    const key = "/cores/ns one/ü'(1)+&.zip";
    expect((await s3Request(server, "PUT", key, { body: "hello", headers: { "x-amz-meta-cdh-x": "1" } })).status).toBe(
      200,
    );
    expect(await listKeys(server, "cores")).toEqual(new Map([["ns one/ü'(1)+&.zip", 5]]));
    await server.stop("KILL");
    await expect(fetch(server.endpoint)).rejects.toThrow("fetch failed");
    await server.start();
    const answer = await s3Request(server, "GET", key);
    expect(await answer.text()).toBe("hello");
    expect(answer.headers.get("x-amz-meta-cdh-x")).toBe("1");
    // Real servers check signatures, which suites about refused credentials rely on; the stand-in from npm does not.
    if (kind === "s3rver") return;
    expect((await s3Request({ ...server, secretKey: "wrong" }, "GET", key)).status).toBe(403);
  });
});
