/* A return address that was written over. */
#include <string.h>

__attribute__((noinline)) static int victim(const char *text, unsigned long length) {
  char room[16];
  memcpy(room, text, length);
  return room[3];
}

int main(void) {
  char text[64];
  memset(text, 'A', sizeof text);
  return victim(text, sizeof text) + 1;
}
