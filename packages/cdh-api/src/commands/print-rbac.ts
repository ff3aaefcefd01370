import { Command } from "clipanion";
import { CdhCommand, EXIT_STATUS_HELP } from "@cdh/core/cli";
import { defaultedFlag, listFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { printBindings, RIGHTS, type Subject } from "../auth/bindings.ts";

/** `cdh-api print-rbac`: print RoleBindings that give teams their own dumps. */
export class PrintRbacCommand extends CdhCommand {
  static override paths = [["print-rbac"]];

  static override usage = Command.Usage({
    description: "print the RoleBindings that let people see, download or delete the dumps of namespaces",
    details: `Prints YAML for \`kubectl apply -f -\` and changes nothing. Rights: view (list, report, groups), download (and bundle, core, link, state of groups), admin (and delete, protect). Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [
      ["Let a team download its dumps", "cdh-api print-rbac --namespace shop --group team-shop | kubectl apply -f -"],
      ["Let a robot look", "cdh-api print-rbac -n shop --service-account ci:robot --right view"],
    ],
  });

  namespaces = listFlag("-n,--namespace", "NAMESPACE", "namespace; may be given again");
  groups = listFlag("--group", "GROUP", "a group of people; may be given again");
  users = listFlag("--user", "USER", "a person; may be given again");
  accounts = listFlag("--service-account", "NAMESPACE:NAME", "a service account; may be given again");
  right = defaultedFlag("--right", "RIGHT", "download", "view, download or admin");
  prefix = defaultedFlag(
    "--role-prefix",
    "TEXT",
    "core-dump-handler",
    "what the names of the chart's ClusterRoles begin with",
  );

  override async run(): Promise<void> {
    const right = RIGHTS.find((one) => one === this.right);
    const problems = [
      ...(right === undefined ? [`--right ${this.right}: none of ${RIGHTS.join(", ")}`] : []),
      ...(this.namespaces.length === 0 ? ["no --namespace"] : []),
      ...this.namespaces
        .filter((name) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
        .map((name) => `--namespace ${JSON.stringify(name)}: no namespace's name`),
      ...this.accounts
        .filter((text) => !/^[^:]+:[^:]+$/.test(text))
        .map((text) => `--service-account ${JSON.stringify(text)}: not NAMESPACE:NAME`),
    ];
    const subjects: Subject[] = [
      ...this.groups.map((name) => ({ kind: "Group", name }) as const),
      ...this.users.map((name) => ({ kind: "User", name }) as const),
      ...this.accounts.map((text) => {
        const [namespace = "", name = ""] = text.split(":");
        return { kind: "ServiceAccount", namespace, name } as const;
      }),
    ];
    if (subjects.length === 0) problems.push("no --group, --user or --service-account");
    if (problems.length > 0 || right === undefined) {
      throw new CdhError("CDH_CONFIG_INVALID", problems.join("; "), {
        hint: "cdh-api print-rbac --namespace shop --group team-shop",
      });
    }
    this.context.stdout.write(printBindings({ namespaces: this.namespaces, subjects, right, prefix: this.prefix }));
  }
}
