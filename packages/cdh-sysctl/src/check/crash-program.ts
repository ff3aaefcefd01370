import { CdhError } from "@cdh/core/errors";

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** Where the program is loaded; any address that is free in an empty process. */
const LOAD_ADDRESS = 0x40_0000n;
const CODE_OFFSET = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;

/** Both of RLIMIT_CORE's numbers as RLIM64_INFINITY. */
const NO_LIMIT = Array.from({ length: 16 }, () => 0xff);

/**
 * Machine code that lifts its own core limit where it may, prlimit64(0, RLIMIT_CORE, &no limit, 0), and sends itself
 * SIGSEGV: a fault would leave a line in the kernel's log each time. Should it survive, it writes to address 0. And the
 * machine's number in an ELF header.
 */
const CODE = {
  // mov eax, 302; xor edi, edi; mov esi, 4; lea rdx, [rip + 30]; xor r10d, r10d; syscall
  // mov eax, 39; syscall; mov edi, eax; mov esi, 11; mov eax, 62; syscall; xor eax, eax; mov [rax], al
  x64: {
    machine: 62,
    bytes: [0xb8, 0x2e, 0x01, 0x00, 0x00, 0x31, 0xff, 0xbe, 0x04, 0x00, 0x00, 0x00]
      .concat([0x48, 0x8d, 0x15, 0x1e, 0x00, 0x00, 0x00, 0x45, 0x31, 0xd2, 0x0f, 0x05])
      .concat([0xb8, 0x27, 0x00, 0x00, 0x00, 0x0f, 0x05, 0x89, 0xc7, 0xbe, 0x0b, 0x00, 0x00, 0x00])
      .concat([0xb8, 0x3e, 0x00, 0x00, 0x00, 0x0f, 0x05])
      .concat([0x31, 0xc0, 0x88, 0x00], NO_LIMIT),
  },
  // mov x0, #0; mov x1, #4; adr x2, . + 44; mov x3, #0; mov x8, #261; svc #0
  // mov x8, #172; svc #0; mov x1, #11; mov x8, #129; svc #0; mov x0, #0; str x0, [x0]
  arm64: {
    machine: 183,
    bytes: [0x00, 0x00, 0x80, 0xd2, 0x81, 0x00, 0x80, 0xd2, 0x62, 0x01, 0x00, 0x10, 0x03, 0x00, 0x80, 0xd2]
      .concat([0xa8, 0x20, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0x88, 0x15, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4])
      .concat([0x61, 0x01, 0x80, 0xd2, 0x28, 0x10, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4])
      .concat([0x00, 0x00, 0x80, 0xd2, 0x00, 0x00, 0x00, 0xf9], NO_LIMIT),
  },
} as const;

/**
 * Make an executable of some hundred bytes that lifts its core limit and dies of SIGSEGV. It needs no C library, no
 * shell and no compiler, so it crashes on every host, and its core is a few pages.
 * @throws {CdhError} CDH_ENVIRONMENT on other machines than x64 and arm64
 * @see elf(5)
 */
export function makeCrashProgram(architecture: string): Buffer {
  const code = architecture === "x64" ? CODE.x64 : architecture === "arm64" ? CODE.arm64 : undefined;
  if (code === undefined) throw new CdhError("CDH_ENVIRONMENT", `cannot make a crashing program for ${architecture}`);
  const file = Buffer.alloc(CODE_OFFSET + code.bytes.length);
  file.write("\x7fELF\x02\x01\x01", 0, "latin1");
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(code.machine, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(LOAD_ADDRESS + BigInt(CODE_OFFSET), 24); // entry
  file.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  file.writeUInt16LE(ELF_HEADER_BYTES, 52);
  file.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  file.writeUInt16LE(1, 56);
  const header = file.subarray(ELF_HEADER_BYTES);
  header.writeUInt32LE(1, 0); // PT_LOAD
  header.writeUInt32LE(5, 4); // readable, executable
  header.writeBigUInt64LE(LOAD_ADDRESS, 16);
  header.writeBigUInt64LE(LOAD_ADDRESS, 24);
  header.writeBigUInt64LE(BigInt(file.length), 32);
  header.writeBigUInt64LE(BigInt(file.length), 40);
  header.writeBigUInt64LE(0x1000n, 48);
  file.set(code.bytes, CODE_OFFSET);
  return file;
}
