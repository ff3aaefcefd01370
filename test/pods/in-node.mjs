import { rmSync } from "node:fs";
// Runs in the network of the node that node.sh makes, and joins it with sockets in the file system: the test and its
// servers stay outside.
import { createServer, connect } from "node:net";

const [directory, ...ports] = process.argv.slice(2);

function join(one, other) {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ]) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

// Pods reach the servers of the test at the node's address.
for (const port of ports) {
  createServer((client) => join(client, connect(`${directory}/in/${port}`))).listen(Number(port), "0.0.0.0");
}

// The test reaches a pod: the first line is `ADDRESS PORT`.
const out = `${directory}/out.sock`;
rmSync(out, { force: true });
createServer((client) => {
  client.once("error", () => client.destroy());
  client.once("data", (data) => {
    const end = data.indexOf(10);
    const [host, port] = data.subarray(0, end).toString().split(" ");
    client.pause();
    const pod = connect(Number(port), host);
    pod.write(data.subarray(end + 1));
    join(client, pod);
  });
}).listen(out);
