/** Starts a machine for pods with one pod in it, says where it lies, and waits to be killed: for pod-node.test.ts. */
import { startCrashingPod } from "./crashing-pods.ts";
import { makeCrasher } from "./images.ts";
import { startPodNode } from "./pod-node.ts";

const node = await startPodNode([]);
for (const image of await makeCrasher(process.argv[2] ?? "")) await node.importImage(image);
const pod = await startCrashingPod(node, { namespace: "shop", name: "held-0" });
const id = await pod.start({ name: "server" });
process.stdout.write(`${node.dir} ${node.pidOf(id)}\n`);
