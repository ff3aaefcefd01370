/* Crashes five calls deep, with frame pointers, so that the stack can be walked without a debugger. */
#include <stdlib.h>

__attribute__((noinline)) static int frame_five(volatile int *where) { return *where; }
__attribute__((noinline)) static int frame_four(volatile int *where) { volatile int kept = frame_five(where); return kept + 1; }
__attribute__((noinline)) static int frame_three(volatile int *where) { volatile int kept = frame_four(where); return kept + 1; }
__attribute__((noinline)) static int frame_two(volatile int *where) { volatile int kept = frame_three(where); return kept + 1; }
__attribute__((noinline)) static int frame_one(volatile int *where) { volatile int kept = frame_two(where); return kept + 1; }

int main(void) {
  volatile int kept = frame_one((volatile int *)0x10);
  return kept;
}
