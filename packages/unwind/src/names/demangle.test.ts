import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { TEXT_MAX } from "./bounded-text.ts";
import { demangle } from "./demangle.ts";

/** Names, and what c++filt makes of them. */
const CPP: readonly [string, string][] = [
  ["_Z3foov", "foo()"],
  ["_ZN2ns3FooC1Ei", "ns::Foo::Foo(int)"],
  ["_ZN2ns3FooD0Ev", "ns::Foo::~Foo()"],
  ["_ZNK2ns3Foo3barEPKcz", "ns::Foo::bar(char const*, ...) const"],
  ["_ZNO1A3fooEv", "A::foo() &&"],
  ["_Z1fIiEvT_", "void f<int>(int)"],
  ["_Z3fooILb1ELi5ELj6ELin7EEvv", "void foo<true, 5, 6u, -7>()"],
  ["_Z1fIJidEEvDpT_", "void f<int, double>(int, double)"],
  ["_Z1fIJEEvDpT_", "void f<>()"],
  ["_Z1fIXadL_ZN1a1gEvEEEvv", "void f<&a::g>()"],
  ["_Z1fPFviE", "f(void (*)(int))"],
  ["_Z1fRA10_i", "f(int (&) [10])"],
  ["_Z1fM3FooKFviE", "f(void (Foo::*)(int) const)"],
  ["_Z1fIRiEvOT_", "void f<int&>(int&)"],
  ["_ZN1AcvT_IiEEv", "A::operator int<int>()"],
  ["_ZlsRSoRK3Foo", "operator<<(std::ostream&, Foo const&)"],
  ["_Z1fSs", "f(std::string)"],
  ["_ZNSsC1Ev", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string()"],
  ["_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"],
  ["_ZN12_GLOBAL__N_13barEv", "(anonymous namespace)::bar()"],
  ["_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const"],
  ["_ZZ4mainENKUlT_E_clIiEEDaS_", "auto main::{lambda(auto:1)#1}::operator()<int>(int) const"],
  ["_ZN1AB5cxx11C1Ev", "A[abi:cxx11]::A()"],
  ["_ZTV3Foo", "vtable for Foo"],
  ["_ZThn16_N3Foo3barEv", "non-virtual thunk to Foo::bar()"],
  ["_ZGVZ3foovE1x", "guard variable for foo()::x"],
  ["_Z3foov.constprop.0", "foo() [clone .constprop.0]"],
  ["_Z3foov.isra.0.cold", "foo() [clone .isra.0] [clone .cold]"],
  [
    "_ZN4llvm10checkedAddIiEENSt9enable_ifIXsr3std9is_signedIT_EE5valueENS_8OptionalIS2_EEE4typeES2_S2_",
    "std::enable_if<std::is_signed<int>::value, llvm::Optional<int> >::type llvm::checkedAdd<int>(int, int)",
  ],
];

const RUST: readonly [string, string][] = [
  [
    "_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
    "core::ptr::drop_in_place<alloc::string::String>",
  ],
  [
    "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE",
    "<Test + 'static as foo::Bar<Test>>::bar",
  ],
  ["_ZN3std9panicking11begin_panic17h0123456789abcdefE.llvm.1234", "std::panicking::begin_panic"],
  ["_RNvC6_123foo3bar", "123foo::bar"],
  ["_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y", "utf8_idents::საჭმელად_გემრიელი_სადილი"],
  ["_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"],
  [
    "_RINbNbCskIICzLVDPPb_5alloc5alloc8box_freeDINbNiB4_5boxed5FnBoxuEp6OutputuEL_ECs1iopQbuBiw2_3std",
    "alloc::alloc::box_free::<dyn alloc::boxed::FnBox<(), Output = ()>>",
  ],
  ["_RMC0INtC8arrayvec8ArrayVechKj7b_E", "<arrayvec::ArrayVec<u8, 123>>"],
  ["_RNvC9backtrace3foo.llvm.A5310EB9", "backtrace::foo"],
];

const REAL = [...CPP, ...RUST].map(([name]) => name);

describe("demangle", () => {
  it.each(CPP)("reads C++: %s", (name, expected) => expect(demangle(name)).toBe(expected));
  it.each(RUST)("reads Rust: %s", (name, expected) => expect(demangle(name)).toBe(expected));

  it.each([
    "main",
    "frame_five.constprop.0",
    "runtime.goexit",
    "_start",
    "__libc_start_main",
    "_Z",
    "_R",
    "_ZN",
    "_RNv",
    "_Z3fo",
    "_Z1fT_",
    "_Z1fS_",
    "",
  ])("leaves %j alone", (name) => expect(demangle(name)).toBeUndefined());

  it("takes any text for a name, and none for long", () => {
    const random = new SeededRandom(7);
    const below = (limit: number): number => random.integer(limit);
    const letters = "_ZRNSTIEXJLPKFACDMBGVvic0123456789stabefpr.$hu";
    const started = performance.now();
    for (let round = 0; round < 30_000; round += 1) {
      let name = REAL[below(REAL.length)] ?? "";
      if (round % 3 === 0) name = `_${round % 2 === 0 ? "Z" : "R"}`;
      const length = 1 + below(round % 100 === 0 ? 3000 : 12);
      for (let change = 0; change < length; change += 1) {
        const at = 2 + below(Math.max(1, name.length - 1));
        name = `${name.slice(0, at)}${letters[below(letters.length)] ?? ""}${name.slice(at + below(3))}`;
      }
      const found = demangle(name);
      if (found !== undefined) expect(found.length).toBeLessThanOrEqual(TEXT_MAX + name.length * 12);
    }
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("reads what doubles itself while it is short", () => {
    expect(demangle(doublingCpp(2))).toBe("f(A<int, int>, A<A<int, int>, A<int, int> >)");
    expect(demangle(doublingRust(2))).toBe("a::<((), ()), (((), ()), ((), ()))>");
  });

  it.each([
    ["deep pointers", `_Z1f${"P".repeat(8000)}i`],
    ["deep templates", `_Z1f${"1AI".repeat(2000)}i${"E".repeat(2000)}`],
    ["doubling by substitutions", doublingCpp(60)],
    ["deep expressions", `_Z1fIX${"ng".repeat(3000)}Li1EEEvv`],
    ["conversions in conversions", `_ZN1A${"cvN1A".repeat(1000)}`],
    ["nested functions", `_Z${"Z1fvEN1AC1E".repeat(500)}v`],
    ["deep Rust types", `_RIC1a${"R".repeat(8000)}uE`],
    ["doubling by back references", doublingRust(60)],
    ["many lifetimes", "_RIC1aFGzzz_EuE"],
    ["a long suffix", `_Z1fv${".a".repeat(4000)}`],
  ])("is bounded: %s", (_what, name) => {
    const started = performance.now();
    expect((demangle(name) ?? "").length).toBeLessThanOrEqual(TEXT_MAX * 8);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

/** Types each of which is twice the one before. */
function doublingCpp(count: number): string {
  const types = Array.from({ length: count - 1 }, (_, index) => {
    const before = `S${index.toString(36).toUpperCase()}_`;
    return `S_I${before}${before}E`;
  });
  return `_Z1f1AIiiE${types.join("")}`;
}

function doublingRust(count: number): string {
  let name = "_RIC1aTuuE";
  for (let before = 4, round = 1; round < count; round += 1) {
    const at = name.length - 2;
    name += `TB${base62(before)}_B${base62(before)}_E`;
    before = at;
  }
  return `${name}E`;
}

/** `_` is 0, so that the digits stand for one less. */
function base62(value: number): string {
  const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  let text = "";
  for (let rest = value - 1; rest >= 0; rest = Math.floor(rest / 62) - (rest < 62 ? 1 : 0))
    text = (digits[rest % 62] ?? "") + text;
  return text;
}
