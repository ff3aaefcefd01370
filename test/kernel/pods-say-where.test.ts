import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it, type TestContext } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { crashLine, crashPlace } from "@cdh/core/report/crash-line";
import { shortFunction } from "../../packages/core/src/report/function-words.ts";
import { builtPath, notBuilt, runBuilt } from "../helpers/built.ts";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { crashPodTaken, goneProgram, madeUid, startCrashPod, type CrashPod } from "../helpers/crash-containers.ts";
import { askGdb } from "../helpers/gdb-stacks.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { containerdUnavailable } from "../helpers/real-containerd.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { argumentsIn, STACK_PROGRAMS, stackProgramUnavailable } from "../helpers/stack-programs.ts";
import { startTied } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { startEventsApi } from "../upload/events-api.ts";
import { expectSoon } from "../upload/workbench.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const POD = { namespace: "shop", name: "checkout-0" };
const SOURCES = join(REPOSITORY, "test/inspect/programs/stacks");
const UPLOADER = "core-dump-handler";

/** Programs by the name that STACK_PROGRAMS has for them, and a function that the line must name; undefined for interpreters. */
const NAMED: Readonly<Record<string, string | undefined>> = {
  plain: "total",
  thrown: "shop::Cart::pick",
  minidebug: "walk",
  static: "total",
  "static-pie": "total",
  musl: "total",
  rust: "area",
  "go-nil": "main.(*node).nextValue",
  "go-stripped": "main.(*node).nextValue",
  "go-cgo": "boom",
  python: "<lambda>",
  node: undefined,
  java: undefined,
};

/** The functions in the place that a line tells: all that is written with `()`. */
const namesIn = (place: string): string[] =>
  place.split(" ← ").flatMap((part) => /^(.*)\(\)(?: at \S+)?$/.exec(part)?.[1] ?? []);

/** Whether a stack is cut because this machine has far more work than processors. */
const isStarved = ({ problems }: Manifest): boolean =>
  (loadavg()[0] ?? 0) > 6 && problems.some(({ code }) => code === "CDH_STACK_DEADLINE");

/** The crashed thread's functions as gdb names them, the innermost first. */
function gdbNames(core: string, executable: string): string[] {
  const commands = ["set print frame-arguments none", "set backtrace past-main on", "bt 60"];
  const text = askGdb("gdb", { executable, core, commands });
  return text
    .split("\n")
    .flatMap((line) => /^#\d+ +(?:0x[0-9a-f]+ in )?(.+?) \(/.exec(line)?.[1] ?? [])
    .map(shortFunction);
}

/** What of a name gdb writes as we do: of Rust's it has DWARF's scopes and numbers of closures, where we have symbols. */
const ownName = (name: string): string => {
  const plain = name.replaceAll(/\{\{closure\}\}|\{closure#\d+\}/g, "{closure}");
  return plain.split(/::|\./).at(-1) ?? plain;
};

/** Generic functions of Rust's library are named by their types, which gdb writes in another way. */
const isOfRustsLibrary = (name: string): boolean => /(?:^|[<…])(?:core|alloc)::/.test(name);

describeUnless(
  kernelSuiteUnavailable() ??
    containerdUnavailable() ??
    notBuilt("cdh-upload") ??
    missingTools("gdb", "openssl") ??
    crashPodTaken(),
  "a crash in a container is told with its functions",
  () => {
    const suite = setUpKernel({
      settings: { IGNORE_CRIO: "false", RLIMIT_CORE: "ignore", METADATA_TIMEOUT: "5" },
    });
    const folder = scratchDirectory("pods-say-where");
    const noCluster = clusterUnavailable();
    let cluster: RealCluster | undefined;
    let pod: CrashPod;

    beforeAll(async () => {
      if (noCluster === undefined) cluster = await startCluster();
      pod = await startCrashPod(suite.composer, {
        ...POD,
        uid: cluster === undefined ? madeUid() : await makePod(cluster),
      });
    }, 300_000);
    afterAll(async () => {
      await pod?.[Symbol.asyncDispose]();
      await cluster?.[Symbol.asyncDispose]();
    }, 60_000);

    /** Hold every name in the line against gdb's, in the same order. */
    async function expectGdbsNames(
      { manifest, unpackCore }: OpenBundle,
      name: string,
      executable: string,
    ): Promise<string> {
      const place = crashPlace(manifest) ?? "";
      expect(manifest.pod).toMatchObject(POD);
      const directory = join(folder, `core-${name}`);
      mkdirSync(directory);
      const theirs = gdbNames((await unpackCore(directory)).path, executable);
      // Where gdb names nothing any more, as of V8's own code, it tells neither of names that are right.
      const end = theirs.indexOf("??");
      let at = 0;
      const frames = manifest.threads?.find(({ crashed }) => crashed === true)?.stack?.frames ?? [];
      const scripts = new Set(frames.flatMap((frame) => (frame.kind === undefined ? [] : (frame.function ?? []))));
      for (const one of namesIn(place).filter((each) => !isOfRustsLibrary(each) && !scripts.has(each))) {
        const found = theirs.findIndex((other, index) => index >= at && ownName(other) === ownName(one));
        if (found === -1 && end !== -1 && at > 0) break;
        expect(found, `${one} of "${place}" in ${theirs.join(" < ")}`).toBeGreaterThanOrEqual(0);
        at = found + 1;
      }
      return place;
    }

    it.for(Object.keys(NAMED))("%s", { timeout: 240_000 }, async (name, context) => {
      const of = STACK_PROGRAMS.find((one) => one.name === name);
      if (of === undefined) throw new Error(`no program ${name}`);
      skipUnlessBuilt(context, stackProgramUnavailable(of));
      const { program, twin } = of.build(pod.programs);
      const inside = program.startsWith(pod.programs) ? join("/programs", program.slice(pod.programs.length)) : program;
      const command = [inside, ...argumentsIn(of, "/programs")];
      const bundle = await pod.crash({ name, command, ...(of.env === undefined ? {} : { env: of.env }) });
      const place = await expectGdbsNames(bundle, name, twin ?? program);
      if (name === "java")
        expect(bundle.entries.some((entry) => /-artefacts\/hs_err_pid\d+\.log$/.test(entry.name))).toBe(true);
      const wanted = NAMED[name];
      if (wanted !== undefined) expect(namesIn(place).map(ownName)).toContain(ownName(wanted));
      else if (!isStarved(bundle.manifest))
        expect(namesIn(place).length, `${place} ${JSON.stringify(bundle.manifest.problems)}`).toBeGreaterThan(0);
    });

    it("a program without any symbols is told by its file, at gdb's address", { timeout: 120_000 }, async () => {
      const program = join(pod.programs, "stripped");
      execFileSync("gcc", ["-O1", "-s", "-fno-optimize-sibling-calls", "-o", program, join(SOURCES, "pay.c")]);
      const bundle = await pod.crash({ name: "stripped", command: ["/programs/stripped"] });
      await expectGdbsNames(bundle, "stripped", program);
      expect(crashLine(bundle.manifest)).toMatch(/^SIGSEGV \(null pointer\) in stripped\+0x[0-9a-f]+ ← stripped\+0x/);
    });

    it("a program whose file is gone", { timeout: 120_000 }, async () => {
      const program = buildPay(join(pod.programs, "pay-gone"));
      const bundle = await pod.crash({ name: "gone", command: goneProgram(pod, program) });
      expect(bundle.manifest.process.exe).toContain("(deleted)");
      await expectGdbsNames(bundle, "gone", program);
      expect(crashLine(bundle.manifest)).toMatch(
        /^SIGSEGV \(null pointer\) in pay\(\) at pay\.c:12 ← handle\(\) ← main\(\)$/,
      );
    });

    it("threads that wait at the same place are one line", { timeout: 120_000 }, async () => {
      const of = STACK_PROGRAMS.find(({ name }) => name === "threads");
      of?.build(pod.programs);
      const { path } = await pod.crash({ name: "threads", command: ["/programs/threads"] });
      const rows = (await runBuilt("cdh-inspect", ["threads", path])).stdout.trimEnd().split("\n");
      expect(rows[0]).toMatch(/^THREADS +STATE +TID +NAME +STACK$/);
      expect(rows[1]).toMatch(/^ +1 +crashed +\d+ +threads +.*abort ← fail ← /);
      expect(rows[2]).toMatch(/^ +3 +- +\d+ … +threads +.*pause ← wait_for_work ← /);
      expect(rows).toHaveLength(4);
      const each = (await runBuilt("cdh-inspect", ["threads", "--all", path])).stdout.trimEnd().split("\n");
      expect(each).toHaveLength(6);
    });

    it(
      "its Event says where, and what to type; so does kubectl describe pod",
      { timeout: 240_000 },
      async (context) => {
        buildPay(join(pod.programs, "pay"));
        const { manifest, path } = await pod.crash({ name: "app", command: ["/programs/pay"] });
        const [spool, store] = [join(folder, "spool"), join(folder, "store")];
        mkdirSync(spool);
        copyFileSync(path, join(spool, basename(path)));
        await using api = cluster === undefined ? await standIn(folder) : await realEvents(cluster, folder);
        await using uploader = startTied(builtPath("cdh-upload"), ["run"], {
          env: {
            PATH: process.env["PATH"] ?? "",
            CORE_DIR: spool,
            STORE_URL: `file://${store}`,
            API_ENABLED: "true",
            ...api.env,
            POD_FACTS: "false",
            NODE_NAME: "worker-1",
          },
          cwd: folder,
        });
        let events: { message?: string; reason?: string }[] = [];
        await expectSoon("there is an Event", async () => (events = await api.events()).length > 0, {
          child: uploader,
        });
        const line = "SIGSEGV (null pointer) in pay() at pay.c:12 ← handle() ← main()";
        const command = `kubectl coredump show -n shop ${manifest.crashId.slice(0, 8)}`;
        expect(events).toHaveLength(1);
        const { reason, message = "" } = events[0] ?? {};
        expect(reason).toBe("CoreDumped");
        expect(message.startsWith(`${line}: /programs/pay (pid `), message).toBe(true);
        expect(message).toMatch(new RegExp(` in container app; core dump of [^;]+: ${command}$`));
        // The same line is the first of what the inspector shows of the store.
        const shown = await runBuilt("cdh-inspect", ["show", join(store, "shop", manifest.crashId.slice(0, 8))]);
        expect(shown.stdout.split("\n")[0]).toBe(line);
        if (cluster === undefined) return skipAloud(context, `the Event of a stand-in was looked at: ${noCluster}`);
        const { stdout } = await cluster.kubectl(["describe", "pod", POD.name, "-n", POD.namespace]);
        if (process.env["CDH_RECORD"] !== undefined) writeFileSync(process.env["CDH_RECORD"], stdout);
        expect(stdout).toContain(message);
      },
    );
  },
);

/** Who keeps Events, and what the uploader has to know of it. */
interface EventKeeper extends AsyncDisposable {
  env: Record<string, string>;
  events(): Promise<{ message?: string; reason?: string }[]>;
}

async function standIn(folder: string): Promise<EventKeeper> {
  const api = await startEventsApi(folder);
  return {
    env: api.env,
    events: async () => [...api.events.values()],
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

async function realEvents(cluster: RealCluster, folder: string): Promise<EventKeeper> {
  const account = join(folder, "account");
  mkdirSync(account);
  writeFileSync(join(account, "token"), await cluster.tokenOf("kube-system", UPLOADER));
  writeFileSync(join(account, "ca.crt"), readFileSync(cluster.ca.cert));
  return {
    env: {
      KUBERNETES_SERVICE_HOST: cluster.host,
      KUBERNETES_SERVICE_PORT: String(cluster.port),
      KUBERNETES_SERVICE_ACCOUNT_DIR: account,
    },
    events: async () => (await cluster.get<{ items: object[] }>("events", "-n", POD.namespace)).items,
    [Symbol.asyncDispose]: async () => {},
  };
}

function buildPay(program: string): string {
  execFileSync("gcc", ["-g", "-O1", "-fno-optimize-sibling-calls", "-o", program, "pay.c"], { cwd: SOURCES });
  return program;
}

function skipUnlessBuilt(context: TestContext, reason: string | undefined): void {
  if (reason !== undefined) skipAloud(context, reason);
}

/** Make a pod that no kubelet runs, so that its Events have somewhere to be. @returns its uid */
async function makePod(cluster: RealCluster): Promise<string> {
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: POD.namespace } });
  const account = { name: UPLOADER, namespace: "kube-system" };
  const role = { name: UPLOADER };
  for (const metadata of [account, { name: "default", namespace: POD.namespace }])
    await cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
  await cluster.apply({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: role,
    rules: [{ apiGroups: [""], resources: ["events"], verbs: ["get", "create", "patch"] }],
  });
  await cluster.apply({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: role,
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: UPLOADER },
    subjects: [{ kind: "ServiceAccount", ...account }],
  });
  await cluster.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: POD,
    spec: {
      nodeName: "worker-1",
      automountServiceAccountToken: false,
      containers: [{ name: "app", image: "cdh.test/crasher:1.2", command: ["/programs/pay"] }],
    },
  });
  const { metadata } = await cluster.get<{ metadata: { uid: string } }>("pod", POD.name, "-n", POD.namespace);
  return metadata.uid;
}
