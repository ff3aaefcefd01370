import {
  fieldsOf,
  listOf,
  numberOf,
  optionalText,
  textOf,
  flagOf,
  UnknownField,
  wordOf,
  type Fields,
} from "./fields.ts";
import type { Kubelet } from "./kubelet.ts";

/** Kinds of `hostPath`; the empty one checks nothing. */
export const HOST_PATH_TYPES = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket"] as const;

/** A path of the node that a pod mounts, and what must be there first. */
export interface HostPath {
  path: string;
  type: (typeof HOST_PATH_TYPES)[number];
}

/** A file that the kubelet writes for a pod. */
export interface VolumeFile {
  path: string;
  content: string;
  mode: number;
}

/** Where a volume lies on the node. */
export interface Volume {
  path: string;
  hostPath?: HostPath;
  /** Files of the volume; a folder with none is an emptyDir. */
  files: VolumeFile[];
  readOnly: boolean;
}

/** Name of the volume that carries the service account. */
export const SERVICE_ACCOUNT = "kube-api-access";

/** Read a pod's volumes, and the one of the service account. */
export function translateVolumes(value: unknown, kubelet: Kubelet, serviceAccount: boolean): Map<string, Volume> {
  const volumes = new Map<string, Volume>();
  for (const [index, item] of listOf(value, "volumes").entries()) {
    const at = `volumes[${index}]`;
    const fields = fieldsOf(item, at, ["configMap", "emptyDir", "hostPath", "name", "projected", "secret"]);
    const name = textOf(fields["name"], `${at}.name`);
    if (volumes.has(name)) throw new UnknownField(`${at}: there are two volumes ${name}`);
    volumes.set(name, translateVolume(fields, at, `${kubelet.volumes}/${name}`, kubelet));
  }
  if (serviceAccount && kubelet.serviceAccount !== undefined) {
    const path = `${kubelet.volumes}/${SERVICE_ACCOUNT}`;
    volumes.set(SERVICE_ACCOUNT, { path, readOnly: true, files: filesOf(path, kubelet.serviceAccount, 0o644) });
  }
  return volumes;
}

function translateVolume(fields: Fields, at: string, path: string, kubelet: Kubelet): Volume {
  const kinds = Object.keys(fields).filter((name) => name !== "name");
  if (kinds.length !== 1) throw new UnknownField(`${at} has ${kinds.length} kinds of volume`);
  if (fields["hostPath"] !== undefined) {
    const source = fieldsOf(fields["hostPath"], `${at}.hostPath`, ["path", "type"]);
    const hostPath: HostPath = {
      path: textOf(source["path"], `${at}.hostPath.path`),
      type: wordOf(source["type"] ?? "", `${at}.hostPath.type`, HOST_PATH_TYPES),
    };
    return { path: hostPath.path, hostPath, files: [], readOnly: false };
  }
  if (fields["emptyDir"] !== undefined) {
    fieldsOf(fields["emptyDir"] ?? {}, `${at}.emptyDir`, []);
    return { path, hostPath: { path, type: "DirectoryOrCreate" }, files: [], readOnly: false };
  }
  if (fields["projected"] !== undefined)
    return serviceAccountVolume(fields["projected"], `${at}.projected`, path, kubelet);
  const [kind, nameField, all] =
    fields["secret"] === undefined
      ? (["configMap", "name", kubelet.configMaps] as const)
      : (["secret", "secretName", kubelet.secrets] as const);
  const source = fieldsOf(fields[kind], `${at}.${kind}`, ["defaultMode", "items", nameField, "optional"]);
  const name = textOf(source[nameField], `${at}.${kind}.${nameField}`);
  const content = all[name];
  const optional = flagOf(source["optional"], `${at}.${kind}.optional`) === true;
  if (content === undefined && !optional) throw new UnknownField(`${at}: there is no ${kind} ${name}`);
  const mode = numberOf(source["defaultMode"], `${at}.${kind}.defaultMode`) ?? 0o644;
  return {
    path,
    readOnly: true,
    files: filesOf(path, chosen(content ?? {}, source["items"], optional, `${at}.${kind}.items`), mode),
  };
}

/** Only what the kubelet itself would mount of the service account. */
function serviceAccountVolume(value: unknown, at: string, path: string, kubelet: Kubelet): Volume {
  const { sources } = fieldsOf(value, at, ["sources"]);
  const kinds = listOf(sources, `${at}.sources`).map((source, index) => {
    const fields = fieldsOf(source, `${at}.sources[${index}]`, ["configMap", "downwardAPI", "serviceAccountToken"]);
    return Object.keys(fields).join(" ");
  });
  if (kinds.toSorted().join(" ") !== "configMap downwardAPI serviceAccountToken")
    throw new UnknownField(`${at} is no service account: ${kinds.join(", ")}`);
  if (kubelet.serviceAccount === undefined)
    return { path, hostPath: { path, type: "DirectoryOrCreate" }, files: [], readOnly: true };
  return { path, readOnly: true, files: filesOf(path, kubelet.serviceAccount, 0o644) };
}

/** The keys that `items` names, by their path. As the kubelet does, an optional volume goes without a key that is not there. */
function chosen(
  content: Record<string, string>,
  items: unknown,
  optional: boolean,
  at: string,
): Record<string, string> {
  if (items === undefined) return content;
  return Object.fromEntries(
    listOf(items, at).flatMap((item, index) => {
      const { key, path } = fieldsOf(item, `${at}[${index}]`, ["key", "path"]);
      const text = content[textOf(key, `${at}[${index}].key`)];
      if (text !== undefined) return [[optionalText(path, `${at}[${index}].path`) ?? "", text]];
      if (optional) return [];
      throw new UnknownField(`${at}[${index}]: there is no key ${String(key)}`);
    }),
  );
}

function filesOf(folder: string, content: Record<string, string>, mode: number): VolumeFile[] {
  return Object.entries(content).map(([name, text]) => ({ path: `${folder}/${name}`, content: text, mode }));
}
