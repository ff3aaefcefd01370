import { fieldsOf, UnknownField } from "./fields.ts";

const SUFFIXES: Record<string, number> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};
const PERIOD_US = 100_000;

/** Read a quantity of Kubernetes in bytes or CPUs. @throws {UnknownField} */
export function parseQuantity(value: unknown, at: string): number {
  const match = /^(\d+(?:\.\d+)?)(m|[kMG]|[KMG]i)?$/.exec(String(value));
  if (match === null) throw new UnknownField(`${at} is ${JSON.stringify(value)}: not translated`);
  const [, number = "", suffix = ""] = match;
  return suffix === "m" ? Number(number) / 1000 : Number(number) * (SUFFIXES[suffix] ?? 1);
}

/** Translate requests and limits as a kubelet does: shares from the CPU request, quota and memory from the limits. */
export function translateResources(value: unknown, at: string): Record<string, number> {
  const resources = fieldsOf(value ?? {}, at, ["limits", "requests"]);
  const requests = fieldsOf(resources["requests"] ?? {}, `${at}.requests`, ["cpu", "memory"]);
  const limits = fieldsOf(resources["limits"] ?? {}, `${at}.limits`, ["cpu", "memory"]);
  const cpu = requests["cpu"] ?? limits["cpu"];
  const result: Record<string, number> = {
    cpu_shares: cpu === undefined ? 2 : Math.max(2, Math.trunc(parseQuantity(cpu, at) * 1024)),
  };
  if (limits["cpu"] !== undefined) {
    result["cpu_period"] = PERIOD_US;
    result["cpu_quota"] = Math.max(1000, parseQuantity(limits["cpu"], at) * PERIOD_US);
  }
  if (limits["memory"] !== undefined) result["memory_limit_in_bytes"] = parseQuantity(limits["memory"], at);
  return result;
}
