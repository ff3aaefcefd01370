import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { unpackDebianPackage } from "../helpers/debian-package.ts";
import { startTied } from "../helpers/tied-child.ts";
import { findOnPath } from "../helpers/tools.ts";
import { type HandlerOrReason, outcomeOf, readMeasurements, until } from "./handler.ts";
import { PATIENCE_MS, writeWrapper } from "./handlers-shell.ts";

const SOCKET = "/run/systemd/coredump";
/** Where systemd-coredump stores cores; compiled in. */
const STORE = "/var/lib/systemd/coredump";
const name = "systemd-coredump";

/**
 * The real systemd-coredump. Its first process hands the pipe to a second one through a socket, which systemd as PID 1
 * would start; here systemd-socket-activate does. Both processes are measured.
 */
export async function systemdHandler(): Promise<HandlerOrReason> {
  const activate = findOnPath("systemd-socket-activate");
  if (activate.path === undefined) return { name, unavailable: activate.reason };
  if (readFileSync("/proc/net/unix", "utf8").includes(` ${SOCKET}\n`)) {
    return { name, unavailable: `${SOCKET} is in use: this machine runs a systemd-coredump of its own` };
  }
  // Left behind by a run that was killed; nobody listens there.
  rmSync(SOCKET, { force: true });

  const found = unpackDebianPackage(name, "lib/systemd/systemd-coredump");
  if ("reason" in found) return { name, unavailable: found.reason };
  mkdirSync(STORE, { recursive: true });
  const directory = mkdtempSync("/tmp/cdhb-");
  const script = writeWrapper(directory, `${found.path} "$@"`);
  const service = ["nice", "-n", "9", join(directory, "measure"), join(directory, "service"), found.path];
  const socket = startTied(activate.path, ["-l", SOCKET, "--seqpacket", "-a", ...service]);
  await until("the socket of systemd-coredump", 10_000, () => (existsSync(SOCKET) ? true : undefined));
  let done = 0;
  return {
    name,
    command:
      "Debian's systemd-coredump as shipped, its socket activated by systemd-socket-activate, its service at nice 9",
    pattern: `|${script} %P %u %g %s %t 9223372036854775808 %h %d`,
    finish: async (pid) => {
      const handler = await until(name, PATIENCE_MS, () => readMeasurements(join(directory, "report"))[done]);
      const worker = await until(name, PATIENCE_MS, () => readMeasurements(join(directory, "service"))[done]);
      done += 1;
      const file = readdirSync(STORE).find(
        (entry) => entry.startsWith("core.fill.") && entry.split(".")[4] === String(pid),
      );
      if (file === undefined) throw new Error(`systemd-coredump stored nothing of pid ${pid}:\n${socket.output()}`);
      const outputBytes = statSync(join(STORE, file)).size;
      rmSync(join(STORE, file));
      return outcomeOf([handler, worker], outputBytes);
    },
    [Symbol.asyncDispose]: async () => {
      await socket.stop();
      rmSync(SOCKET, { force: true });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
