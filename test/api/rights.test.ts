import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { issue, makeAuthority } from "../helpers/cluster-pki.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import type { Grant } from "./stand-in.ts";
import {
  AUDIENCE,
  BASE,
  expectSoon,
  putDump,
  startWorkbench,
  type AskOptions,
  type PutDump,
  type Workbench,
} from "./workbench.ts";

const directory = scratchDirectory("api-rights");

const grant = (user: string, verbs: string[], resources: string[], namespaces = ["shop"]): Grant => ({
  user,
  verbs,
  resources,
  namespaces,
});

/** Everybody has one thing, so that each right is seen to be its own. */
const GRANTS: Grant[] = [
  grant("lister", ["list"], ["coredumps"]),
  grant("watcher", ["watch"], ["coredumps"]),
  grant("reader", ["get"], ["coredumps"]),
  grant("bundler", ["get"], ["coredumps/bundle"]),
  grant("corer", ["get"], ["coredumps/core"]),
  grant("reporter", ["get"], ["coredumps/report"]),
  grant("linker", ["create"], ["coredumps/link"]),
  grant("link+zip", ["create"], ["coredumps/link"]),
  grant("link+zip", ["get"], ["coredumps/bundle"]),
  grant("patcher", ["patch"], ["coredumps"]),
  grant("deleter", ["delete"], ["coredumps"]),
  grant("sweeper", ["deletecollection"], ["coredumps"]),
  grant("neighbour", ["*"], ["*"], ["other"]),
  grant("one-all", ["*"], ["*"]),
  grant("admin", ["*"], ["*"], ["*"]),
];

/** The routes, each with what is asked. */
const ROUTES: Record<string, (dump: PutDump, victim: PutDump) => [string, AskOptions?]> = {
  "list shop": () => [`${BASE}/namespaces/shop/coredumps?limit=1`],
  "list all": () => [`${BASE}/coredumps?limit=1`],
  "watch shop": () => [`${BASE}/namespaces/shop/coredumps?watch=1&timeoutSeconds=1`],
  get: (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}`],
  bundle: (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}/bundle`],
  "HEAD bundle": (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}/bundle`, { method: "HEAD" }],
  core: (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}/core`],
  report: (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}/report`],
  "link zip": (dump) => [
    `${BASE}/namespaces/shop/coredumps/${dump.name}/link`,
    { method: "POST", body: { subresource: "bundle" } },
  ],
  "link core": (dump) => [
    `${BASE}/namespaces/shop/coredumps/${dump.name}/link`,
    { method: "POST", body: { subresource: "core" } },
  ],
  patch: (dump) => [
    `${BASE}/namespaces/shop/coredumps/${dump.name}?dryRun=All`,
    {
      method: "PATCH",
      body: { metadata: { labels: { "core-dump-handler.dev/keep": "true" } } },
      headers: { "content-type": "application/merge-patch+json" },
    },
  ],
  delete: (dump) => [`${BASE}/namespaces/shop/coredumps/${dump.name}?dryRun=All`, { method: "DELETE" }],
  "delete all": () => [`${BASE}/namespaces/shop/coredumps?dryRun=All`, { method: "DELETE" }],
  "groups shop": () => [`${BASE}/namespaces/shop/crashgroups`],
  "groups all": () => [`${BASE}/crashgroups`],
  "group patch": () => [
    `${BASE}/namespaces/shop/crashgroups/bug-0000000000`,
    { method: "PATCH", body: {}, headers: { "content-type": "application/merge-patch+json" } },
  ],
  "rest list shop": () => ["/apiv1/cores?namespace=shop"],
  "rest list all": () => ["/apiv1/cores"],
  "rest metadata": (dump) => [`/apiv1/cores/metadata/worker-3/${dump.name}`],
  "rest download": (dump) => [`/apiv1/cores/download/worker-3/${dump.name}?decompress=true`],
  "rest delete": (_dump, victim) => [`/apiv1/cores/delete/worker-3/${victim.name}`, { method: "DELETE" }],
  "wrong namespace": (dump) => [`${BASE}/namespaces/other/coredumps/${dump.name}`],
  "wrong ns bundle": (dump) => [`${BASE}/namespaces/other/coredumps/${dump.name}/bundle`],
  "unknown name": () => [`${BASE}/namespaces/shop/coredumps/00000000-0000-0000-0000-000000000000`],
  discovery: () => [BASE],
  openapi: () => ["/openapi/v3"],
  page: () => ["/"],
  healthz: () => ["/healthz"],
};

const EXPECTED = `
route            no one    bad token audience  forged    other CA  other CN  nameless  lister    watcher   reader    bundler   corer     reporter  linker    link+zip  patcher   deleter   sweeper   neighbour one-all   admin     proxied
list shop        401       401       401       401       401       401       401       200       403       403       403       403       403       403       403       403       403       403       403       200       200       200
list all         401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       403       200       200
watch shop       401       401       401       401       401       401       401       403       200       403       403       403       403       403       403       403       403       403       403       200       200       200
get              401       401       401       401       401       401       401       403       403       200       403       403       403       403       403       403       403       403       403       200       200       200
bundle           401       401       401       401       401       401       401       403       403       403       200       403       403       403       200       403       403       403       403       200       200       200
HEAD bundle      401       401       401       401       401       401       401       403       403       403       200       403       403       403       200       403       403       403       403       200       200       200
core             401       401       401       401       401       401       401       403       403       403       403       200       403       403       403       403       403       403       403       200       200       200
report           401       401       401       401       401       401       401       403       403       403       403       403       200       403       403       403       403       403       403       200       200       200
link zip         401       401       401       401       401       401       401       403       403       403       403       403       403       403       201       403       403       403       403       201       201       201
link core        401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       201       201       201
patch            401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       200       403       403       403       200       200       200
delete           401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       200       403       403       200       200       200
delete all       401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       200       403       200       200       200
groups shop      401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       200       200       200
groups all       401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       403       200       200
group patch      401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       404       404       404
rest list shop   401       401       401       401       401       401       401       200       403       403       403       403       403       403       403       403       403       403       403       200       200       200
rest list all    401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       403       403       200       200
rest metadata    401       401       401       401       401       401       401       404       404       200       404       404       404       404       404       404       404       404       404       200       200       200
rest download    401       401       401       401       401       401       401       404       404       404       404       200       404       404       404       404       404       404       404       200       200       200
rest delete      401       401       401       401       401       401       401       404       404       404       404       404       404       404       404       404       200       404       404       200       200       200
wrong namespace  401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       404       403       404       404
wrong ns bundle  401       401       401       401       401       401       401       403       403       403       403       403       403       403       403       403       403       403       404       403       404       404
unknown name     401       401       401       401       401       401       401       403       403       404       403       403       403       403       403       403       403       403       403       404       404       404
discovery        401       401       401       401       401       401       401       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200
openapi          401       401       401       401       401       401       401       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200
page             200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200
healthz          200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200       200
`;

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "who may do what, on every route", () => {
  let bench: Workbench;
  let dump: PutDump;
  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      env: { REFRESH_INTERVAL: "1s" },
      prepare: async (store) => {
        dump = await putDump(store);
        await putDump(store, { namespace: "other" });
      },
    });
    bench.cluster.grants = GRANTS;
    for (const user of new Set(GRANTS.map((one) => one.user))) {
      bench.cluster.tokens.set(`token-of-${user}`, { user, audiences: [AUDIENCE] });
    }
    bench.cluster.tokens.set("token-for-the-cluster", { user: "admin", audiences: ["https://kubernetes.default.svc"] });
  }, 60_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("is as the table says", async () => {
    const remote = { "x-remote-user": "admin", "x-remote-group": "system:masters" };
    const strangers = makeAuthority(directory, "strangers");
    const callers: Record<string, AskOptions> = {
      "no one": {},
      "bad token": { token: "made-up" },
      audience: { token: "token-for-the-cluster" },
      forged: { headers: remote },
      "other CA": {
        headers: remote,
        client: issue(directory, "stranger", strangers, { subject: "/CN=front-proxy-client" }),
      },
      "other CN": {
        headers: remote,
        client: issue(directory, "other-name", bench.cluster.frontProxy.ca, { subject: "/CN=somebody" }),
      },
      nameless: { client: bench.cluster.frontProxy.client },
      ...Object.fromEntries(
        [...new Set(GRANTS.map((one) => one.user))].map((user) => [user, { token: `token-of-${user}` }]),
      ),
      proxied: { headers: { "x-remote-user": "admin" }, client: bench.cluster.frontProxy.client },
    };
    const names = Object.keys(callers);
    // For the one route that cannot be tried without doing it.
    const victims = new Map<string, PutDump>();
    for (const name of names) victims.set(name, await putDump(bench.store));
    await expectSoon("all are listed", async () => (await bench.metric("cdh_api_dumps")) === names.length + 2);
    const lines = [["route", ...names]];
    for (const [route, make] of Object.entries(ROUTES)) {
      const cells = await Promise.all(
        names.map(async (name) => {
          const [path, asked = {}] = make(dump, victims.get(name) ?? dump);
          const caller = callers[name] ?? {};
          const { status } = await bench.ask(path, {
            ...asked,
            ...caller,
            headers: { ...asked.headers, ...caller.headers },
          });
          return String(status);
        }),
      );
      lines.push([route, ...cells]);
    }
    const table = lines.map(([head = "", ...cells]) =>
      [head.padEnd(17), ...cells.map((cell) => cell.padEnd(10))].join("").trimEnd(),
    );
    expect(`\n${table.join("\n")}\n`).toBe(EXPECTED);
  });
});
