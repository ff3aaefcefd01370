/* SIGBUS: reads a mapped file past its end. */
#include <stdio.h>
#include <sys/mman.h>

#include "crash.h"

int main(void) {
  FILE *file = tmpfile();
  if (file == NULL || ftruncate(fileno(file), 4096) != 0) return 1;
  char *map = mmap(NULL, 4 * 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
  if (map == MAP_FAILED) return 1;
  crash_here((volatile int *)(map + 2 * 65536));
  return 0;
}
