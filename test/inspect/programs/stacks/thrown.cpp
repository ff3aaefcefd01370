// An exception that nobody catches, out of a template.
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

template <typename Item> struct Cart {
  std::vector<Item> items;
  [[gnu::noinline]] const Item &pick(unsigned index) const {
    if (index >= items.size()) throw std::out_of_range("no item " + std::to_string(index));
    return items[index];
  }
};

[[gnu::noinline]] int pay(const Cart<int> &cart) noexcept { return cart.pick(7) + 1; }

} // namespace shop

int main() {
  shop::Cart<int> cart;
  return shop::pay(cart);
}
