/* An order that nobody priced. */
#include <stdio.h>

struct price {
  int cents;
};
struct order {
  const struct price *price;
};

__attribute__((noinline)) int pay(const struct order *order) {
  int cents = order->price->cents;
  printf("%d\n", cents);
  return cents;
}

__attribute__((noinline)) int handle(const struct order *order) { return pay(order) + 1; }

int main(void) {
  struct order order = {0};
  return handle(&order) + 1;
}
