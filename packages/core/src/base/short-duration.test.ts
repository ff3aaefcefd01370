import { expect, it } from "vitest";
import { shortDuration } from "./short-duration.ts";

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

it.each([
  [-2 * S, "<invalid>"],
  [-500, "0s"],
  [0, "0s"],
  [119 * S, "119s"],
  [2 * M, "2m"],
  [7 * M + 12 * S, "7m12s"],
  [10 * M + 12 * S, "10m"],
  [179 * M, "179m"],
  [3 * H, "3h"],
  [7 * H + 5 * M, "7h5m"],
  [47 * H, "47h"],
  [2 * D, "2d"],
  [2 * D + 3 * H, "2d3h"],
  [12 * D, "12d"],
  [729 * D, "729d"],
  [730 * D, "2y"],
  [800 * D, "2y70d"],
  [9 * 365 * D, "9y"],
])("shows %d ms as %s, as kubectl does", (ms, text) => {
  expect(shortDuration(ms)).toBe(text);
});
