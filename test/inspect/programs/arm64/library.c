/* Calls back what calls it, from three functions down. */

/* Makes the code longer than a page. */
extern const char page_filler[8192];
const char page_filler[8192] = {1};

#define STEP __attribute__((noinline))

STEP static int library_three(int (*callback)(volatile int *), volatile int *argument) {
  volatile int kept = callback(argument);
  return kept + 1;
}
STEP static int library_two(int (*callback)(volatile int *), volatile int *argument) {
  volatile int kept[16] = {0};
  kept[7] = library_three(callback, argument);
  return kept[7];
}
int through_library(int (*callback)(volatile int *), volatile int *argument);
int through_library(int (*callback)(volatile int *), volatile int *argument) {
  volatile int kept = library_two(callback, argument);
  return kept + 1;
}
