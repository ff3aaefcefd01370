import { expect, it } from "vitest";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, only, podOf, render } from "./helm.ts";
import { IBM_CLOUDS, IBM_STORE, IBM_VALUES } from "./ibm-values.ts";

describeUnless(missingTools("helm"), "values of IBM's chart", () => {
  it("are all accepted, and mean what they meant", () => {
    const rendered = render(IBM_VALUES);
    expect(rendered.refused).toBe("");
    expect(only(rendered, "DaemonSet").metadata.name).toBe("core-dump-handler");
    const node = envOf(containerOf(rendered, "node"));
    expect(node).toMatchObject({
      HOST_DIR: "/var/mnt/core-dump-handler",
      CORE_DIR: "/var/mnt/core-dump-handler/cores",
      SUID_DUMPABLE: "2",
      COMP_LOG_LEVEL: "Warn",
      COMP_INCLUDE_PROC_INFO: "true",
      COMP_CRIO_IMAGE_CMD: "img",
      COMP_COMPRESSION: "true",
      COMP_TIMEOUT: "600",
      // A switch must not turn whole cores into empty ones.
      COMP_RLIMIT_CORE: "ignore",
    });
    const upload = containerOf(rendered, "upload");
    expect(envOf(upload)).toMatchObject({
      USE_INOTIFY: "true",
      S3_ENDPOINT: "https://s3.eu-gb.cloud-object-storage.appdomain.cloud",
    });
    expect(upload.resources).toEqual({
      requests: { cpu: "250m", memory: "64Mi" },
      limits: { cpu: "500m", memory: "128Mi" },
    });
    expect(only(rendered, "Secret")).toMatchObject({ metadata: { name: "s3config" }, stringData: IBM_STORE });
    expect(only(rendered, "ClusterRole").metadata.name).toBe("core-dump-event-reporter");
    expect(only(rendered, "ClusterRoleBinding").metadata.name).toBe("core-dump-event-report");
  });

  it("are told from our own, and never override what is asked for", () => {
    const limitOf = (values: object): string | undefined =>
      envOf(containerOf(render({ store: { url: "s3://cores" }, ...values }), "node"))["COMP_RLIMIT_CORE"];
    expect(limitOf({})).toBeUndefined();
    expect(limitOf({ composer: { rlimitCore: "honour", crioImageCmd: "img" } })).toBe("honour");
    expect(limitOf({ hostStorage: "1Gi" })).toBe("ignore");
  });

  it.each(IBM_CLOUDS)("are accepted as its file for %s sets them", (_, values) => {
    expect(render(values).refused).toBe("");
  });

  it("keep the selector, so that its release can be upgraded", () => {
    const spec = only(render(IBM_VALUES), "DaemonSet")["spec"] as { selector: unknown };
    expect(spec.selector).toEqual({ matchLabels: { name: "core-dump-ds" } });
  });

  it("no longer bring PersistentVolumes, nor mounts that reach the node", () => {
    const rendered = render(IBM_VALUES);
    expect(rendered.objects.map(({ kind }) => kind)).not.toContain("PersistentVolume");
    expect(rendered.text).not.toMatch(/mountPropagation: Bidirectional|persistentVolumeClaim/);
    expect(podOf(rendered).volumes.flatMap(({ hostPath }) => hostPath?.type ?? [])).toEqual([
      "Directory",
      "DirectoryOrCreate",
    ]);
  });

  it("take crictl from the node only where the image has one", () => {
    const [, values] = IBM_CLOUDS[0] ?? ["", {}];
    expect(envOf(containerOf(render(values), "node"))["DEPLOY_CRIO_EXE"]).toBe("false");
  });
});
