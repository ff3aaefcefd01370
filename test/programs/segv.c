/* SIGSEGV: writes to an address that is not mapped, given in hexadecimal (default 0). */
#include <stdlib.h>

#include "crash.h"

int main(int argc, char **argv) {
  crash_here((volatile int *)(uintptr_t)(argc > 1 ? strtoull(argv[1], NULL, 16) : 0));
  return 0;
}
