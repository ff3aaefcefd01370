/*
 * SIGSEGV with 300 MB (or the number given) of a pattern that a reader can compute: the 64-bit word k of page p is
 * (p << 32) | (k * 2654435761 mod 2^32). Prints the pattern's address and size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "crash.h"

int main(int argc, char **argv) {
  size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 300) << 20;
  uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (size_t page = 0; page < bytes / 4096; page++)
    for (size_t k = 0; k < 512; k++) memory[page * 512 + k] = (uint64_t)page << 32 | (uint32_t)(k * 2654435761u);
  printf("pattern %p %zu\n", (void *)memory, bytes);
  fflush(stdout);
  crash_here((volatile int *)0);
  return 0;
}
