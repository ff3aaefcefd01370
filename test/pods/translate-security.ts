import { SECCOMP, type NamespaceOptions, type SecurityConfig } from "./cri.ts";
import { fieldsOf, flagOf, listOf, numberOf, textOf, UnknownField, wordOf } from "./fields.ts";

/** What a kubelet hides of /proc and /sys from a container that is not privileged. @see pkg/securitycontext/util.go */
export const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
];
/** What it makes read-only there. */
export const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const KNOWN = [
  "allowPrivilegeEscalation",
  "capabilities",
  "privileged",
  "readOnlyRootFilesystem",
  "runAsGroup",
  "runAsNonRoot",
  "runAsUser",
  "seLinuxOptions",
  "seccompProfile",
];

/** Translate a container's security context; an absent one is a kubelet's defaults. */
export function translateSecurity(value: unknown, at: string, namespaces: NamespaceOptions): SecurityConfig {
  const context = fieldsOf(value ?? {}, at, KNOWN);
  const flag = (name: string): boolean => flagOf(context[name], `${at}.${name}`) ?? false;
  const user = numberOf(context["runAsUser"], `${at}.runAsUser`);
  const group = numberOf(context["runAsGroup"], `${at}.runAsGroup`);
  if (flag("runAsNonRoot") && (user ?? 0) === 0)
    throw new UnknownField(`${at}: a kubelet does not start root with runAsNonRoot`);
  const privileged = flag("privileged");
  const result: SecurityConfig = { namespace_options: namespaces };
  if (privileged) result.privileged = true;
  if (user !== undefined) result.run_as_user = { value: user };
  if (group !== undefined) result.run_as_group = { value: group };
  if (flag("readOnlyRootFilesystem")) result.readonly_rootfs = true;
  if (flagOf(context["allowPrivilegeEscalation"], at) === false) {
    if (privileged) throw new UnknownField(`${at}: privileged without allowPrivilegeEscalation is refused by the API`);
    result.no_new_privs = true;
  }
  if (context["capabilities"] !== undefined) {
    const { add, drop } = fieldsOf(context["capabilities"], `${at}.capabilities`, ["add", "drop"]);
    const names = (list: unknown): string[] => listOf(list, at).map((name) => textOf(name, `${at}.capabilities`));
    result.capabilities = { add_capabilities: names(add), drop_capabilities: names(drop) };
  }
  if (context["seLinuxOptions"] !== undefined)
    result.selinux_options = fieldsOf(context["seLinuxOptions"], at, ["level", "role", "type", "user"]) as Record<
      string,
      string
    >;
  result.seccomp = seccomp(context["seccompProfile"], `${at}.seccompProfile`);
  if (!privileged) {
    result.masked_paths = MASKED_PATHS;
    result.readonly_paths = READONLY_PATHS;
  }
  return result;
}

function seccomp(value: unknown, at: string): { profile_type: number; localhost_ref?: string } {
  if (value === undefined) return { profile_type: SECCOMP.Unconfined };
  const profile = fieldsOf(value, at, ["localhostProfile", "type"]);
  const type = wordOf(profile["type"], `${at}.type`, ["RuntimeDefault", "Unconfined", "Localhost"] as const);
  return type === "Localhost"
    ? { profile_type: SECCOMP.Localhost, localhost_ref: textOf(profile["localhostProfile"], at) }
    : { profile_type: SECCOMP[type] };
}
