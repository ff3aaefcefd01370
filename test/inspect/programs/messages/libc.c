/* Fails an assertion whose text is as long as somebody likes. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static void check(int count) { assert(count > 3 && "cart has items"); }

__attribute__((noinline)) static void smash(const char *text) {
  char room[8];
  strcpy(room, text);
  printf("%s\n", room);
}

/* What libc says itself, and what it would say of a text of the caller's own. */
extern void __assert_fail(const char *, const char *, unsigned, const char *);

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "assert";
  if (strcmp(how, "assert") == 0) check(argc);
  if (strcmp(how, "free") == 0) {
    char *volatile one = malloc(24);
    free(one);
    free(one);
  }
  if (strcmp(how, "smash") == 0) smash("much longer than eight characters, and then some more of it");
  if (strcmp(how, "text") == 0) __assert_fail(argv[2], "file.c", 7, "told");
  abort();
}
