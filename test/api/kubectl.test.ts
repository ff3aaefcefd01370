import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { findKubectl, kubectlAt, type Kubectled } from "./kubectl.ts";
import { AUDIENCE, putDump, startWorkbench, type PutDump, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-kubectl");
const missing = notBuilt("cdh-api") ?? missingTools("openssl") ?? findKubectl().reason;

describeUnless(missing, "the real kubectl, straight at the server", () => {
  let bench: Workbench;
  let dump: PutDump;
  let kubectl: (...args: string[]) => Promise<Kubectled>;

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      prepare: async (store) => {
        dump = await putDump(store, { crashedAt: "2026-11-21T08:26:11.000Z" });
        await putDump(store, { namespace: "other" });
      },
    });
    bench.cluster.tokens.set("devs-token", { user: "dev", audiences: [AUDIENCE] });
    bench.cluster.grants = [
      {
        user: "dev",
        verbs: ["get", "list", "watch", "delete", "patch"],
        resources: ["coredumps"],
        namespaces: ["shop"],
      },
      { user: "dev", verbs: ["get"], resources: ["coredumps/bundle", "coredumps/report"], namespaces: ["shop"] },
    ];
    kubectl = kubectlAt(directory, { port: bench.port, caFile: bench.cluster.ca.cert, token: "devs-token" });
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("get prints the server's table", async () => {
    const { status, stdout, stderr } = await kubectl("get", "coredumps", "-n", "shop");
    expect(`${status} ${stderr}`).toBe("0 ");
    const [head, row, ...more] = stdout.trim().split("\n");
    expect(head?.split(/\s+/)).toEqual(["NAME", "POD", "CONTAINER", "SIGNAL", "EXE", "SIZE", "COMPLETE", "AGE"]);
    expect(row?.split(/\s+/).slice(0, 7)).toEqual([dump.name, "web-0", "app", "SIGSEGV", "server", "4.0KiB", "true"]);
    expect(more).toEqual([]);
  });
});
