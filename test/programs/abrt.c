/* SIGABRT: abort(3). */
#include <stdlib.h>

#include "crash.h"

int main(void) {
  about_to_crash();
  abort();
}
