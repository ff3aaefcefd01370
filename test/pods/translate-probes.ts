import { fieldsOf, listOf, numberOf, optionalText, textOf, UnknownField } from "./fields.ts";

/** What a kubelet asks a container on its pod's address. */
export interface Probe {
  kind: "tcp" | "http";
  port: number;
  path: string;
  periodSeconds: number;
  timeoutSeconds: number;
  failureThreshold: number;
}

/** A container's probes. */
export type Probes = Partial<Record<"startup" | "liveness" | "readiness", Probe>>;

const TIMES = ["failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold", "timeoutSeconds"];

/** Read a container's probes; ports may be named. */
export function translateProbes(container: Record<string, unknown>, at: string): Probes {
  const ports = new Map<string, number>();
  for (const [index, item] of listOf(container["ports"], `${at}.ports`).entries()) {
    const port = fieldsOf(item, `${at}.ports[${index}]`, ["containerPort", "name", "protocol"]);
    const number = numberOf(port["containerPort"], `${at}.ports[${index}].containerPort`);
    if (number !== undefined)
      ports.set(optionalText(port["name"], `${at}.ports[${index}].name`) ?? String(number), number);
  }
  const probes: Probes = {};
  for (const kind of ["startup", "liveness", "readiness"] as const) {
    const value = container[`${kind}Probe`];
    if (value !== undefined) probes[kind] = translateProbe(value, `${at}.${kind}Probe`, ports);
  }
  return probes;
}

function translateProbe(value: unknown, at: string, ports: Map<string, number>): Probe {
  const probe = fieldsOf(value, at, [...TIMES, "httpGet", "tcpSocket"]);
  const http = probe["httpGet"] !== undefined;
  const action = http
    ? fieldsOf(probe["httpGet"], `${at}.httpGet`, ["path", "port", "scheme"])
    : fieldsOf(probe["tcpSocket"], `${at}.tcpSocket`, ["port"]);
  if ((action["scheme"] ?? "HTTP") !== "HTTP") throw new UnknownField(`${at}.httpGet.scheme is not translated`);
  const wanted = action["port"];
  const port = typeof wanted === "number" ? wanted : ports.get(textOf(wanted, `${at}.port`));
  if (port === undefined) throw new UnknownField(`${at}: there is no port ${String(wanted)}`);
  return {
    kind: http ? "http" : "tcp",
    port,
    path: optionalText(action["path"], `${at}.httpGet.path`) ?? "/",
    periodSeconds: numberOf(probe["periodSeconds"], at) ?? 10,
    timeoutSeconds: numberOf(probe["timeoutSeconds"], at) ?? 1,
    failureThreshold: numberOf(probe["failureThreshold"], at) ?? 3,
  };
}
