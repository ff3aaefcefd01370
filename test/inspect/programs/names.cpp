// Crashes below functions whose names have everything that C++ puts into names.
#include <memory>
#include <string>
#include <vector>

static volatile int *where = nullptr;

namespace shop {
template <typename T, int N> struct Cart {
  T operator()(const std::string &name, std::vector<T> items) const;
};

namespace {
template <typename... Ts> __attribute__((noinline)) int hidden(Ts... values) {
  *where = sizeof...(values);
  return (static_cast<int>(values) + ... + *where);
}
} // namespace

template <typename T, int N>
__attribute__((noinline)) T Cart<T, N>::operator()(const std::string &name, std::vector<T> items) const {
  auto inner = [&](auto value, int (&numbers)[3]) __attribute__((noinline)) {
    return hidden(value, 2.5, numbers[1]) + N;
  };
  int numbers[3] = {1, 2, static_cast<int>(name.size())};
  return inner(items[0], numbers) + numbers[2];
}
} // namespace shop

struct Base {
  virtual ~Base() = default;
  virtual int run(int (*next)(const char *), std::unique_ptr<int> owned) const noexcept = 0;
};

struct Derived final : Base {
  __attribute__((noinline)) int run(int (*next)(const char *), std::unique_ptr<int> owned) const noexcept override {
    shop::Cart<long, 7> cart;
    return static_cast<int>(cart("a name", {1, 2})) + next("x") + *owned;
  }
};

int main() {
  std::unique_ptr<Base> base = std::make_unique<Derived>();
  return base->run([](const char *text) { return static_cast<int>(text[0]); }, std::make_unique<int>(3)) + 1;
}
