/*
 * in-file FILE: crash in code of a file that the program has mapped, which is what its zeros are (x86-64: a write to
 * address 0, arm64: no instruction). With the program's own path as FILE it removes that, and crashes in its own code.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "crash.h"

/* Where the code is, in bytes from the file's beginning. */
#define CODE 4096

static void __attribute__((noinline)) run_code(char *code) {
  about_to_crash();
  ((void (*)(void))code)();
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  if (strcmp(argv[0], argv[1]) == 0) {
    if (unlink(argv[1]) != 0) return 3;
    crash_here(0);
  }
  int file = open(argv[1], O_RDONLY);
  char *memory = mmap(0, 2 * CODE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  if (memory == MAP_FAILED) return 4;
  run_code(memory + CODE);
  return 0;
}
