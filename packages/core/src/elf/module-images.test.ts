import { describe, expect, it } from "vitest";
import { buildCore, buildFileNote, buildImage, FieldWriter, type BuiltNote } from "../testing/core-builder.ts";
import { readAnywhere, scan } from "../testing/scan-core.ts";
import { NT_AUXV, NT_FDO_PACKAGING_METADATA, NT_FILE, NT_GNU_BUILD_ID } from "./notes.ts";

describe("modules", () => {
  const gnu = { name: "GNU", type: NT_GNU_BUILD_ID, desc: Uint8Array.from([0xde, 0xad, 0xbe, 0xef]) };
  const fdo = { name: "FDO", type: NT_FDO_PACKAGING_METADATA, desc: Buffer.from('{"type":"deb","name":"x"}\0') };
  const files = (...mappings: { path: string; start: bigint; end: bigint; pages: number }[]): BuiltNote => ({
    name: "CORE",
    type: NT_FILE,
    desc: buildFileNote(mappings),
  });

  it("joins the mappings of a file, tells data from programs, and reads package metadata", () => {
    const facts = scan(
      buildCore({
        notes: [
          files(
            { path: "/bin/a", start: 0x1000n, end: 0x2000n, pages: 0 },
            { path: "/bin/a", start: 0x2000n, end: 0x5000n, pages: 1 },
            { path: "/data", start: 0x8000n, end: 0x9000n, pages: 0 },
            { path: "/lib/b (deleted)", start: 0xa000n, end: 0xb000n, pages: 0 },
            { path: "/lib/b (deleted)", start: 0xc000n, end: 0xd000n, pages: 0 },
          ),
          {
            name: "CORE",
            type: NT_AUXV,
            desc: new FieldWriter(48).word(0, 9).word(8, 0x2100).word(16, 23).word(24, 1).bytes,
          },
        ],
        segments: [
          { vaddr: 0x1000n, bytes: buildImage([gnu, fdo]), flags: 4 },
          { vaddr: 0x2000n, bytes: new Uint8Array(), memSize: 0x3000, flags: 5 },
          { vaddr: 0x8000n, bytes: Buffer.from("just data") },
          { vaddr: 0xa000n, bytes: new Uint8Array(), memSize: 0x1000, flags: 5 },
          { vaddr: 0xc000n, bytes: buildImage([]) },
        ],
      }),
    );
    expect(facts.modules).toEqual([
      {
        path: "/bin/a",
        start: 0x1000n,
        end: 0x5000n,
        buildId: "deadbeef",
        package: { type: "deb", name: "x" },
        executable: true,
      },
      { path: "/lib/b (deleted)", start: 0xa000n, end: 0xb000n },
      { path: "/lib/b (deleted)", start: 0xc000n, end: 0xd000n },
    ]);
    expect(facts.auxv?.secure).toBe(true);
  });

  it("finds a note that lies behind the first page", async () => {
    const core = buildCore({
      notes: [files({ path: "/bin/late", start: 0x10000n, end: 0x20000n, pages: 0 })],
      segments: [{ vaddr: 0x10000n, bytes: buildImage([gnu], { notesAt: 9000, length: 0x4000 }) }],
    });
    for (const size of [1, 4096, 100000]) expect(scan(core, size).modules[0]?.buildId).toBe("deadbeef");
    expect((await readAnywhere(core)).facts).toEqual(scan(core));
  });

  it("ignores metadata that is no JSON object, and a build-id of another owner", () => {
    for (const text of ["[1]", "{", "null", ""]) {
      const image = buildImage([
        { ...fdo, desc: Buffer.from(text) },
        { ...gnu, name: "GNV" },
      ]);
      const facts = scan(
        buildCore({
          notes: [files({ path: "/x", start: 0x1000n, end: 0x2000n, pages: 0 })],
          segments: [{ vaddr: 0x1000n, bytes: image }],
        }),
      );
      expect(facts.modules).toEqual([{ path: "/x", start: 0x1000n, end: 0x2000n }]);
    }
  });
});
