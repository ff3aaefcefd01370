/* Waits until it is killed, holding as many MB as asked for. Prints "ready". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

int main(int argc, char **argv) {
  size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 0) << 20;
  char *memory = malloc(bytes + 1);
  if (memory == NULL) return 1;
  memset(memory, 'x', bytes);
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
