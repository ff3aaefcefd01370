// `helm test`: crash once, then wait until the bundle of that crash is in the store.
import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

const { POD_NAME: pod, POD_NAMESPACE: namespace, NODE_NAME: node, INSPECT: inspect, TEST_TIMEOUT: timeout } = process.env;
const store = process.env.STORE_URL || `s3://${process.env.S3_BUCKET_NAME}`;
const started = Date.now();
const seconds = () => ((Date.now() - started) / 1000).toFixed(1);

const crash = spawnSync(process.execPath, ["-e", "process.abort()"], { stdio: "ignore" });
if (crash.signal !== "SIGABRT") {
  console.error(`✗ the test program did not crash: ${crash.error ?? crash.signal ?? `exit status ${crash.status}`}`);
  process.exit(1);
}
console.log(`✓ crashed with SIGABRT in pod ${namespace}/${pod} on node ${node}`);
console.log(`  waiting for the bundle in ${store}, at most ${timeout} s`);

let trouble = "";
while (Date.now() - started < Number(timeout) * 1000) {
  const args = [inspect, "ls", store, "--pod", pod, "--namespace", namespace, "-o", "json"];
  const look = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
  trouble = look.stderr?.trim() ?? String(look.error);
  try {
    const [found] = JSON.parse(look.stdout).bundles;
    if (found?.truncatedBy === "rlimit" && !(found.coreBytes > 0)) {
      console.error(`✗ ${found.bundle} is there after ${seconds()} s, with no memory kept: the container's core limit is 0`);
      console.error("  composer.rlimitCore=ignore keeps it; or raise LimitCORE of the node's container runtime");
      process.exit(1);
    }
    if (found !== undefined) {
      console.log(`✓ ${found.bundle} is there after ${seconds()} s: ${found.signal} of ${found.exe}, core of ${found.coreBytes ?? "unknown many"} bytes`);
      process.exit(0);
    }
  } catch {
    // No answer this time; the last one's reason is told at the end.
  }
  await sleep(1000);
}

console.error(`✗ no bundle of pod ${namespace}/${pod} in ${store} after ${timeout} s`);
if (trouble !== "") console.error(`  the store: ${trouble}`);
console.error("  was the node's pod ready before this test began? kubectl rollout status tells; helm --wait does not");
console.error(`  on node ${node}: cdh-sysctl doctor in the container node, cdh-upload check in the container upload;`);
console.error("  composer.namespaceInclude, podSelectorLabel and commExclude may leave this pod out");
process.exit(1);
