import { afterAll, beforeAll, expect, it } from "vitest";
import { expectSoon, BASE, putDump, startWorkbench, type Workbench } from "../api/workbench.ts";
import { notBuilt } from "../helpers/built.ts";
import { issue, makeAuthority, rewrite, type KeyPair } from "../helpers/cluster-pki.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const directory = scratchDirectory("security-certificates");
const PATH = `${BASE}/coredumps`;
const headers = { "x-remote-user": "root" };
const PROXY = "CN=front-proxy-client";

/** Subjects whose owner is not the front proxy, though its name stands in them. All are signed by its own authority. */
const FORGED: Record<string, string> = {
  "another name": "/O=devs/CN=attacker",
  "a line separator in another part": `/O=x\u2028${PROXY}/CN=attacker`,
  "a paragraph separator in another part": `/O=x\u2029${PROXY}/CN=attacker`,
  "a carriage return in another part": `/O=x\r${PROXY}/CN=attacker`,
  "a line feed in another part": `/O=x\n${PROXY}/CN=attacker`,
  "a next line in another part": `/O=x\u0085${PROXY}/CN=attacker`,
  "a line separator and no common name": `/O=x\u2028${PROXY}`,
  "the proxy's name first of two": `/${PROXY}/CN=attacker`,
  "the proxy's name last of two": `/CN=attacker/${PROXY}`,
  "the proxy's name twice": `/${PROXY}/${PROXY}`,
  "two names in one part": `/CN=attacker+${PROXY}`,
  "the name in a part of several": `/O=x+OU=${PROXY.replace("=", "\\=")}/CN=attacker`,
  "a line separator in the name": `/CN=x\u2028${PROXY}`,
  "a name that only begins so": `/${PROXY}x`,
  "other case": "/CN=Front-Proxy-Client",
  "the name as another field": "/O=front-proxy-client",
};

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "who is the cluster's front proxy", () => {
  let bench: Workbench;
  const statusOf = async (client: KeyPair): Promise<number> => (await bench.ask(PATH, { client, headers })).status;
  const make = (name: string, subject: string, authority = bench.cluster.frontProxy.ca): KeyPair =>
    issue(directory, name, authority, { subject });

  beforeAll(async () => {
    bench = await startWorkbench(directory, { prepare: async (store) => void (await putDump(store)) });
    bench.cluster.grants = [{ user: "root", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it.each(Object.entries(FORGED))("%s: not let in", async (name, subject) => {
    expect(await statusOf(make(name.replaceAll(/\W/g, "-"), subject))).toBe(401);
  });

  it("a name that goes on behind a NUL is another name", async () => {
    const pair = make("nul", "/CN=front-proxy-client#evil");
    rewrite(pair, bench.cluster.frontProxy.ca, "client#evil", "client\0evil");
    expect(await statusOf(pair)).toBe(401);
  });

  it("the right name of another authority is not let in", async () => {
    expect(await statusOf(make("strangers", `/${PROXY}`, makeAuthority(directory, "stranger")))).toBe(401);
  });

  it.each([
    ["alone", `/${PROXY}`],
    ["beside other fields", `/O=cluster/OU=proxies/${PROXY}`],
    ["in a part of several", `/O=cluster+${PROXY}`],
  ])("the front proxy's own name, %s, is let in", async (name, subject) => {
    expect(await statusOf(make(`good-${name.replaceAll(" ", "-")}`, subject))).toBe(200);
  });

  it("allowed names that cannot be read let nobody else in", async () => {
    const stranger = make("any-name", "/CN=somebody");
    // A text, or a list of other things, is not the empty list, which would let every certificate in.
    for (const broken of ['"front-proxy-client"', "[1]", "{}", "[", "null"]) {
      bench.cluster.frontProxyConfig["requestheader-allowed-names"] = broken;
      await using own = await startAgain();
      await expectSoon("it has looked", () => own.logged("cannot read how the front proxy is known").length > 0);
      expect((await own.ask(PATH, { client: stranger, headers })).status, broken).toBe(401);
    }
  });

  /** Start another server at the same cluster; it is not ready, and answers all the same. */
  const startAgain = async (): Promise<Workbench> => {
    const own = await bench.another({ waits: false });
    await expectSoon("it answers", async () => (await own.ask("/healthz").catch(() => undefined))?.status === 200);
    return own;
  };
});
