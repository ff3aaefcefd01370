/* SIGILL: an instruction that is defined to be undefined. */
#include "crash.h"

int main(void) {
  about_to_crash();
#if defined(__x86_64__)
  __asm__ volatile("ud2");
#elif defined(__aarch64__)
  __asm__ volatile("udf #0");
#else
  __builtin_trap();
#endif
  return 0;
}
