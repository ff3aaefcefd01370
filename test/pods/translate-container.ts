import { PROPAGATION, type ContainerConfig, type MountConfig, type NamespaceOptions } from "./cri.ts";
import { fieldsOf, flagOf, listOf, optionalText, textOf, UnknownField, wordOf, type Fields } from "./fields.ts";
import { downward, kubernetesLabels, type Kubelet } from "./kubelet.ts";
import { translateProbes, type Probes } from "./translate-probes.ts";
import { translateResources } from "./translate-resources.ts";
import { translateSecurity } from "./translate-security.ts";
import { SERVICE_ACCOUNT, type Volume } from "./translate-volumes.ts";

/** A container as crictl starts it, and what a kubelet would ask it. */
export interface TranslatedContainer {
  config: ContainerConfig;
  probes: Probes;
}

/** What a container shares with its pod. */
export interface PodContext {
  kubelet: Kubelet;
  volumes: Map<string, Volume>;
  namespaces: NamespaceOptions;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

const CONTAINER = [
  "args",
  "command",
  "env",
  "envFrom",
  "image",
  "imagePullPolicy",
  "livenessProbe",
  "name",
  "ports",
  "readinessProbe",
  "resources",
  "securityContext",
  "startupProbe",
  // Where the kubelet looks for last words; the runtime is not told.
  "terminationMessagePolicy",
  "volumeMounts",
  "workingDir",
];

/** Take a container all of whose fields are known. */
export function containerFields(value: unknown, at: string): Fields {
  return fieldsOf(value, at, CONTAINER);
}

/** Translate a container. @throws {UnknownField} */
export function translateContainer(fields: Fields, pod: PodContext): TranslatedContainer {
  const name = textOf(fields["name"], "container.name");
  const texts = (field: string): string[] | undefined =>
    fields[field] === undefined
      ? undefined
      : listOf(fields[field], `${name}.${field}`).map((text) => textOf(text, `${name}.${field}`));
  const [command, args, workingDir] = [texts("command"), texts("args"), optionalText(fields["workingDir"], name)];
  const config: ContainerConfig = {
    metadata: { name, attempt: 0 },
    image: { image: textOf(fields["image"], `${name}.image`) },
    ...(command === undefined ? {} : { command }),
    ...(args === undefined ? {} : { args }),
    ...(workingDir === undefined ? {} : { working_dir: workingDir }),
    envs: [...environment(fields, name, pod)].map(([key, value]) => ({ key, value })),
    mounts: mounts(fields["volumeMounts"], `${name}.volumeMounts`, pod),
    labels: { ...kubernetesLabels(pod.kubelet), "io.kubernetes.container.name": name },
    annotations: { "io.kubernetes.container.restartCount": "0" },
    log_path: `${name}/0.log`,
    linux: {
      resources: translateResources(fields["resources"], `${name}.resources`),
      security_context: translateSecurity(fields["securityContext"], `${name}.securityContext`, pod.namespaces),
    },
  };
  return { config, probes: translateProbes(fields, name) };
}

/** The kubelet's order: the API server's address, envFrom, then env, of which the last one of a name wins. */
function environment(fields: Fields, name: string, pod: PodContext): Map<string, string> {
  const { apiServer } = pod.kubelet;
  const result = new Map<string, string>();
  if (apiServer !== undefined) {
    result.set("KUBERNETES_SERVICE_HOST", apiServer.host);
    result.set("KUBERNETES_SERVICE_PORT", String(apiServer.port));
  }
  for (const [index, item] of listOf(fields["envFrom"], `${name}.envFrom`).entries()) {
    const at = `${name}.envFrom[${index}]`;
    const source = fieldsOf(item, at, ["configMapRef", "prefix", "secretRef"]);
    const prefix = optionalText(source["prefix"], `${at}.prefix`) ?? "";
    const [reference, all] =
      source["secretRef"] === undefined
        ? ([source["configMapRef"], pod.kubelet.configMaps] as const)
        : ([source["secretRef"], pod.kubelet.secrets] as const);
    const { name: wanted, optional } = fieldsOf(reference, at, ["name", "optional"]);
    const content = all[textOf(wanted, `${at}.name`)];
    if (content === undefined && flagOf(optional, at) !== true)
      throw new UnknownField(`${at}: there is no ${String(wanted)}`);
    for (const [key, value] of Object.entries(content ?? {})) result.set(`${prefix}${key}`, value);
  }
  for (const [index, item] of listOf(fields["env"], `${name}.env`).entries()) {
    const at = `${name}.env[${index}]`;
    const variable = fieldsOf(item, at, ["name", "value", "valueFrom"]);
    const value =
      variable["valueFrom"] === undefined
        ? (optionalText(variable["value"], at) ?? "")
        : referred(variable["valueFrom"], at, pod);
    // `$(NAME)` would be replaced by a kubelet.
    if (value?.includes("$(") === true) throw new UnknownField(`${at} refers to another variable: not translated`);
    if (value !== undefined) result.set(textOf(variable["name"], `${at}.name`), value);
  }
  return result;
}

function referred(value: unknown, at: string, pod: PodContext): string | undefined {
  const source = fieldsOf(value, at, ["configMapKeyRef", "fieldRef", "secretKeyRef"]);
  if (source["fieldRef"] !== undefined) {
    const { fieldPath } = fieldsOf(source["fieldRef"], at, ["apiVersion", "fieldPath"]);
    return downward(textOf(fieldPath, at), pod);
  }
  const [reference, all] =
    source["secretKeyRef"] === undefined
      ? ([source["configMapKeyRef"], pod.kubelet.configMaps] as const)
      : ([source["secretKeyRef"], pod.kubelet.secrets] as const);
  const { name, key, optional } = fieldsOf(reference, at, ["key", "name", "optional"]);
  const found = all[textOf(name, at)]?.[textOf(key, at)];
  if (found === undefined && flagOf(optional, at) !== true)
    throw new UnknownField(`${at}: there is no ${String(name)}/${String(key)}`);
  return found;
}

function mounts(value: unknown, at: string, { volumes }: PodContext): MountConfig[] {
  const result = listOf(value, at).map((item, index): MountConfig => {
    const here = `${at}[${index}]`;
    const mount = fieldsOf(item, here, ["mountPath", "mountPropagation", "name", "readOnly", "subPath"]);
    const volume = volumes.get(textOf(mount["name"], `${here}.name`));
    if (volume === undefined) throw new UnknownField(`${here}: there is no volume ${String(mount["name"])}`);
    const subPath = optionalText(mount["subPath"], `${here}.subPath`);
    const readonly = flagOf(mount["readOnly"], `${here}.readOnly`) === true || volume.readOnly;
    const kinds = Object.keys(PROPAGATION) as (keyof typeof PROPAGATION)[];
    return {
      host_path: subPath === undefined ? volume.path : `${volume.path}/${subPath}`,
      container_path: textOf(mount["mountPath"], `${here}.mountPath`),
      ...(readonly ? { readonly } : {}),
      propagation: PROPAGATION[wordOf(mount["mountPropagation"] ?? "None", `${here}.mountPropagation`, kinds)],
    };
  });
  const account = volumes.get(SERVICE_ACCOUNT);
  if (account !== undefined)
    result.push({
      host_path: account.path,
      container_path: "/var/run/secrets/kubernetes.io/serviceaccount",
      readonly: true,
      propagation: PROPAGATION.None,
    });
  return result;
}
