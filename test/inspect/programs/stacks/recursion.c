/* A null pointer, below a recursion and an inlined call. */
#include <stdio.h>

struct order {
  int id;
  struct order *next;
};

static inline __attribute__((always_inline)) int next_id(const struct order *order) { return order->next->id; }

__attribute__((noinline)) static int total(const struct order *order, int depth) { return next_id(order) + depth; }

__attribute__((noinline)) int walk(const struct order *order, int depth) {
  if (depth > 3) {
    int sum = total(order, depth);
    printf("%d\n", sum);
    return sum;
  }
  return walk(order, depth + 1) + 1;
}

int main(int argc, char **argv) {
  (void)argv;
  struct order order = {42, 0};
  return walk(&order, argc - 1);
}
