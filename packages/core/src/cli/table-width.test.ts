import { describe, expect, it } from "vitest";
import { formatTable, type Column } from "./output.ts";
import { cutMiddle, fitColumns, terminalWidth } from "./table-width.ts";

interface Row {
  name: string;
  path: string;
  size: string;
}

const rows: Row[] = [
  { name: "payments/checkout-7d9f8b6c5-x2x9k", path: "/usr/local/bin/server", size: "10 MiB" },
  { name: "shop/cart", path: "/bin/cart", size: "1 MiB" },
];
const columns: Column<Row>[] = [
  { header: "NAME", value: (row) => row.name, minWidth: 12 },
  { header: "PATH", value: (row) => row.path, narrow: (row) => row.path.split("/").at(-1) ?? "" },
  { header: "SIZE", value: (row) => row.size, optional: 1 },
];
const at = (width: number | undefined): string[] =>
  formatTable(fitColumns(columns, rows, width), rows)
    .trimEnd()
    .split("\n");

describe("fitColumns", () => {
  it("shows what may be spared where everything else stands in full, and to no script", () => {
    const spare: Column<Row>[] = ["ONE", "TWO"].map((header) => ({ header, value: () => "1234", spare: true }));
    const [first, ...others] = columns;
    const headers = (width: number | undefined): string[] =>
      fitColumns(first === undefined ? [] : [first, ...spare, ...others], rows, width).map(({ header }) => header);
    const full = at(undefined)[1]?.length ?? 0;
    expect(headers(full + 12)).toEqual(["NAME", "ONE", "TWO", "PATH", "SIZE"]);
    expect(headers(full + 11)).toEqual(["NAME", "ONE", "PATH", "SIZE"]);
    expect(headers(full)).toEqual(["NAME", "PATH", "SIZE"]);
    expect(headers(undefined)).toEqual(["NAME", "PATH", "SIZE"]);
  });

  it("changes nothing where there is room, or no terminal", () => {
    expect(at(undefined)).toEqual(at(200));
    expect(at(undefined)[1]).toBe("payments/checkout-7d9f8b6c5-x2x9k  /usr/local/bin/server  10 MiB");
  });

  it("says it shorter, then leaves columns out, then cuts, and no more than is needed", () => {
    expect(at(60)[1]).toBe("payments/checkout-7d9f8b6c5-x2x9k  server  10 MiB");
    expect(at(45)[1]).toBe("payments/checkout-7d9f8b6c5-x2x9k  server");
    expect(at(30)[1]).toBe("payments/ch…b6c5-x2x9k  server");
    for (const width of [60, 45, 30, 24]) for (const line of at(width)) expect(line.length).toBeLessThanOrEqual(width);
  });

  it("stops at what is still readable", () => {
    expect(at(5)[1]).toBe("paymen…x2x9k  server");
  });
});

it("cuts what is shown, not what is escaped", () => {
  expect(cutMiddle("\u001b[31mabcdefgh", 9)).toBe("\\x1b…efgh");
  expect(cutMiddle("short", 9)).toBe("short");
});

it("asks only a terminal for its width", () => {
  expect(terminalWidth({ columns: 80 })).toBeUndefined();
  expect(terminalWidth({ isTTY: true, columns: 80 })).toBe(80);
  expect(terminalWidth({ isTTY: true, columns: 0 })).toBeUndefined();
});
