import { expect, it } from "vitest";
import { shellQuote } from "./shell-quote.ts";

it("quotes words for a shell", () => {
  expect(shellQuote("registry.example/a:1@sha256:ab")).toBe("registry.example/a:1@sha256:ab");
  expect(shellQuote("a'; rm -rf /")).toBe(`'a'\\''; rm -rf /'`);
});
