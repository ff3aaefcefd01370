// Runs in a network of its own, and joins it with sockets in the file system: the test and its servers stay outside.
//   join-network.mjs SOCKET:ADDRESS:PORT…   prints a line once it listens at each address
import { connect, createServer } from "node:net";

for (const join of process.argv.slice(2)) {
  const [socket, address, port] = join.split(":");
  const server = createServer((client) => {
    const onward = connect(socket);
    client.pipe(onward).pipe(client);
    client.on("error", () => onward.destroy());
    onward.on("error", () => client.destroy());
  });
  await new Promise((resolve) => server.listen(Number(port), address, resolve));
}
console.log("ready");
