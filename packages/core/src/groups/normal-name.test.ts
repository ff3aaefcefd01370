import { expect, it } from "vitest";
import { bareName, normalName } from "./normal-name.ts";

it.each([
  // Compilers' suffixes.
  ["pay", "pay"],
  ["pay.isra.0", "pay"],
  ["pay.part.1.constprop.0", "pay"],
  ["pay.constprop.0.isra.0.cold", "pay"],
  ["pay.cold.3", "pay"],
  ["pay.llvm.1234567890123", "pay"],
  ["pay.lto_priv.0", "pay"],
  ["pay.localalias", "pay"],
  ["memcpy@plt", "memcpy"],
  ["memcpy@@GLIBC_2.14", "memcpy"],
  ["main.cold", "main"],
  ["shop::pay(int) [clone .isra.0] [clone .cold]", "shop::pay"],
  ["__GI_raise", "raise"],
  // C++: templates, parameters, return types, lambdas.
  ["shop::pay(std::vector<int, std::allocator<int> > const&)", "shop::pay"],
  ["void shop::pay<int, char>(int)", "shop::pay"],
  ["std::vector<int>::at(unsigned long) const", "std::vector::at"],
  ["int const& shop::Cart<std::pair<int, int> >::pick<0>(int) const", "shop::Cart::pick"],
  ["main::{lambda(int)#2}::operator()(int) const", "main"],
  ["run(int)::{lambda()#1}::operator()() const", "run"],
  ["run(int)::{lambda(int, char)#14}::_FUN(int, char)", "run"],
  ["main::$_0::operator()(int) const", "main"],
  ["(anonymous namespace)::check(int)", "(anonymous namespace)::check"],
  ["shop::(anonymous namespace)::check(int)", "shop::(anonymous namespace)::check"],
  ["std::__cxx11::basic_string<char>::size() const", "std::basic_string::size"],
  ["std::__1::vector<int>::at(unsigned long)", "std::vector::at"],
  ["shop::name[abi:cxx11](int)", "shop::name"],
  ["operator new(unsigned long)", "operator new"],
  ["shop::Total::operator bool() const", "shop::Total::operator bool"],
  ["bool shop::operator==<int>(shop::A<int> const&, shop::A<int> const&)", "shop::operator=="],
  // Rust.
  ["panic::sum::h0123456789abcdef", "panic::sum"],
  ["panic[1f2e3d4c5b6a7988]::sum", "panic::sum"],
  ["shop::run::{{closure}}", "shop::run"],
  ["shop::run::{closure#3}", "shop::run"],
  ["<panic::Square as panic::Shape>::area", "<panic::Square as panic::Shape>::area"],
  ["alloc::vec::Vec<T>::push", "alloc::vec::Vec::push"],
  // Go.
  ["main.(*node).nextValue", "main.(*node).nextValue"],
  ["main.main.func2", "main.main"],
  ["main.main.func2.1", "main.main"],
  ["main.run.discount.func1", "main.discount"],
  ["example.com/shop/v2.(*Cart).Total.func1", "example.com/shop/v2.(*Cart).Total"],
  ["main.main.func1.2.gowrap3", "main.main"],
  ["main.start.gowrap1", "main.start"],
  ["main.Map[...]", "main.Map"],
  ["main.Map[go.shape.int,go.shape.string].func1", "main.Map"],
  ["example.com/shop/v2.(*Cart).Total", "example.com/shop/v2.(*Cart).Total"],
])("%s is %s in every build", (given, expected) => {
  expect(normalName(given)).toBe(expected);
});

it("takes time in proportion to a hostile name", () => {
  for (const part of ["<", "(", "{lambda(", "[", "::h", ".cold", "operator", "@@G_1", "(a"]) {
    const started = performance.now();
    normalName(part.repeat(20_000));
    expect(performance.now() - started).toBeLessThan(5_000);
  }
});

it("reads no more of a name than anybody writes, also where only its parameters are left out", () => {
  for (const part of [" [clone a]", ":", " ", "<", "(", ") const", " &"]) {
    const started = performance.now();
    bareName(`${part.repeat(100_000)}x`);
    expect(performance.now() - started, part).toBeLessThan(5_000);
  }
});
