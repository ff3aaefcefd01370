import { ApiError, type Api } from "./api.ts";
import { h, type Child } from "./dom.ts";

/** A few words in the middle of an empty page. */
export function panel(title: string, ...children: readonly Child[]): HTMLElement {
  return h("section", { class: "panel" }, h("h1", {}, title), ...children);
}

/** Say what went wrong and offer the way on. */
export function errorPanel(error: unknown, again: () => void): HTMLElement {
  const button = h("button", { type: "button", on: { click: again } }, "Try again");
  if (!(error instanceof ApiError)) {
    const text = error instanceof Error ? error.message : String(error);
    return panel("This page has a bug", h("p", { class: "mono" }, text), button);
  }
  const titles: Record<number, string> = {
    0: "No answer",
    403: "You may not see this",
    404: "There is no such crash",
    410: "The list has changed meanwhile",
    503: "The store cannot be read now",
  };
  const hint =
    error.status === 404
      ? h("p", { class: "dim" }, "It may have been deleted: retention does so by age, number and size.")
      : undefined;
  return panel(titles[error.status] ?? "The server refuses", h("p", {}, error.message), hint, button);
}

/** Ask for a token. */
export function tokenPanel(api: Api, refused: boolean, then: () => void): HTMLElement {
  const input = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });
  const keep = h("input", { type: "checkbox" });
  const submit = (event: Event): void => {
    event.preventDefault();
    const token = input.value.trim().replace(/^Bearer\s+/i, "");
    if (token === "") return;
    api.useToken(token, keep.checked);
    then();
  };
  const form = h(
    "form",
    { on: { submit } },
    h("label", {}, "Token", input),
    h("label", { class: "check" }, keep, "Keep it while this tab is open"),
    h("button", { class: "first" }, "Show crashes"),
  );
  return panel(
    "Who are you?",
    refused && h("p", { class: "bad", role: "alert" }, "The cluster does not accept this token. It may have expired."),
    h("p", {}, "A token of the cluster decides what you see. It stays in this tab and goes to this server only."),
    h("p", { class: "mono dim" }, "kubectl create token NAME --audience core-dump-handler.dev"),
    form,
  );
}
