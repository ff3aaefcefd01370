// An exception that nobody catches, thrown in a thread below a frame that has something to tear down.
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace shop {

struct Basket {
  std::vector<std::string> items{"one", "two"};
  __attribute__((noinline)) long weigh(long which) {
    if (which > 1) throw std::runtime_error("no such item: " + std::to_string(which));
    return static_cast<long>(items[static_cast<size_t>(which)].size());
  }
};

__attribute__((noinline)) long pay(Basket &basket, long which) {
  std::string note = "paying";
  volatile long sum = basket.weigh(which) + static_cast<long>(note.size());
  return sum;
}

}  // namespace shop

int main() {
  std::thread cashier([] {
    shop::Basket basket;
    volatile long sum = shop::pay(basket, 7);
    (void)sum;
  });
  cashier.join();
  return 0;
}
