import { expect, it } from "vitest";
import { asOperand, shellQuote } from "./shell-quote.ts";

it("quotes words for a shell", () => {
  expect(shellQuote("registry.example/a:1@sha256:ab")).toBe("registry.example/a:1@sha256:ab");
  expect(shellQuote("a'; rm -rf /")).toBe(`'a'\\''; rm -rf /'`);
});

it("writes a name that looks like an option as a path", () => {
  expect(asOperand("-x.zip")).toBe("./-x.zip");
  expect(asOperand("a-x.zip")).toBe("a-x.zip");
});
