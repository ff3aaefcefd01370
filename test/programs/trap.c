/* SIGTRAP: a breakpoint that no debugger waits for. */
#include "crash.h"

int main(void) {
  about_to_crash();
#if defined(__x86_64__)
  __asm__ volatile("int3");
#elif defined(__aarch64__)
  __asm__ volatile("brk #0");
#endif
  return 0;
}
