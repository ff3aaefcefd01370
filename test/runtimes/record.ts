/**
 * Records what a real runtime says about two pods that share their name, for the unit tests: crictl's answers, the
 * runtime's own files, a log.
 *
 *   node scripts/bootstrap.mjs -- node test/runtimes/record.ts crio|crio-systemd|docker FOLDER     FOLDER below test/fixtures/crictl
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { REPOSITORY } from "../helpers/repository.ts";
import { makeCrasher } from "../pods/images.ts";
import { startCrashingPod } from "./crashing-pod.ts";
import { startRuntimeNode, type RuntimeKind } from "./runtime-node.ts";

const kind = process.argv[2] as RuntimeKind;
const out = join(REPOSITORY, "test/fixtures/crictl", process.argv[3] ?? "");
mkdirSync(out, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), "cdh-record-"));
await using node = await startRuntimeNode(kind);

/** The machine's directory stands for a node's root, and its cgroup for the root of the tree. */
const scrubbed = (text: string): string =>
  text
    .replaceAll("/var/snap/docker/common/var-lib-docker", "/var/lib/docker")
    .replaceAll(node.dir, "")
    .replaceAll(`/${basename(node.dir)}/kubepods`, "/kubepods")
    .replaceAll(join(REPOSITORY, ".cache/tools/bin"), "/usr/local/bin")
    // Hierarchies that the runtime does not use say where on this machine it was started.
    .replaceAll(/^(\d+:[^:]*:)\/(?!.*kubepods).*$/gm, "$1/");
const keep = (name: string, text: string): void => {
  const clean = scrubbed(text).trimEnd();
  writeFileSync(join(out, name), `${name.endsWith(".json") ? JSON.stringify(JSON.parse(clean), null, 2) : clean}\n`);
};

try {
  for (const image of await makeCrasher(scratch)) await node.importImage(image);
  const labels = { app: "web", "statefulset.kubernetes.io/pod-name": "web-0", "info.coredump.owner": "team-a" };
  const shop = await startCrashingPod(node, { namespace: "shop", name: "web-0", labels });
  const bank = await startCrashingPod(node, { namespace: "bank", name: "web-0", labels, qos: "guaranteed" });
  const ids = {
    podA: shop.id,
    podB: bank.id,
    serverA: await shop.start("server", 2),
    sidecarA: await shop.start("sidecar"),
    serverB: await bank.start("server"),
    uidA: shop.uid,
    uidB: bank.uid,
  };
  keep("ids.json", JSON.stringify(ids));
  keep("cgroup.txt", readFileSync(`/proc/${node.pidOf(ids.serverA)}/cgroup`, "utf8"));
  // All else is the same with both makers of cgroups.
  if (kind !== "crio-systemd") {
    keep("version.txt", await node.crictl("version"));
    keep("pods.json", await node.crictl("pods", "--name=web-0", "-o", "json"));
    keep("inspectp.json", await node.crictl("inspectp", ids.podA));
    keep("ps.json", await node.crictl("ps", "-o", "json", "-p", ids.podA));
    keep("inspect.json", await node.crictl("inspect", ids.serverA));
    keep("images.json", await node.crictl("images", "-o", "json"));
    keep("server-2.log", readFileSync(shop.logOf("server", 2), "utf8"));
    for (const [name, id] of [
      ["config-server.json", ids.serverA],
      ["config-sandbox.json", ids.podA],
    ] as const)
      keep(name, readFileSync(node.recordOf(id), "utf8"));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
