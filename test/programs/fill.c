/*
 * fill MB mixed|zero|random: touches that much memory, then SIGSEGV. The bench's crash program.
 *
 * mixed is meant to look like the heap of a service. Each 4 KiB page gets one kind, by a fixed seed:
 *   30 %  pointers   8-byte words: half of them addresses in a 64 MB heap (16-byte aligned), the rest small sizes and zeros
 *   20 %  random     what is compressed or encrypted already
 *   15 %  integers   4-byte counters below 1000
 *   15 %  text       words of a log line
 *   10 %  doubles    measurements with three decimals between 0 and 100
 *   10 %  zero       written, never used
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crash.h"

enum { PAGE = 4096 };
static uint64_t state = 0x9e3779b97f4a7c15u;

static inline uint64_t next(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1du;
}

static void random_page(uint64_t *page) {
  for (int i = 0; i < PAGE / 8; i++) page[i] = next();
}

static void pointer_page(uint64_t *page, uint64_t heap) {
  for (int i = 0; i < PAGE / 8; i++) {
    uint64_t r = next();
    if (r & 1) page[i] = heap + (r >> 8) % (64u << 20) / 16 * 16;
    else page[i] = r & 2 ? 0 : (r >> 8) % 4096;
  }
}

static void integer_page(uint32_t *page) {
  for (int i = 0; i < PAGE / 4; i++) page[i] = (uint32_t)(next() >> 32) % 1000;
}

static void text_page(char *page) {
  static const char *const words[] = {"level=info ", "msg=\"request done\" ", "path=/api/v1/items ", "status=200 ", "user=",
                                      "duration_ms=", "error ", "connection ", "timeout ", "retry ", "namespace=shop ", "\n"};
  char word[40];
  for (size_t used = 0; used < PAGE;) {
    uint64_t r = next();
    int length = snprintf(word, sizeof word, "%s%.*s", words[r % 12], r & 64 ? 0 : 3, "417 852 903 266 " + (r >> 8) % 4 * 4);
    size_t room = PAGE - used, take = (size_t)length < room ? (size_t)length : room;
    memcpy(page + used, word, take);
    used += take;
  }
}

static void double_page(double *page) {
  for (int i = 0; i < PAGE / 8; i++) page[i] = (double)((next() >> 32) % 100000) / 1000.0;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  size_t bytes = strtoull(argv[1], NULL, 10) << 20;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (size_t at = 0; at < bytes; at += PAGE) {
    char *page = memory + at;
    unsigned kind = strcmp(argv[2], "mixed") == 0 ? (unsigned)(next() >> 32) % 100 : strcmp(argv[2], "zero") == 0 ? 99 : 30;
    if (kind < 30) pointer_page((uint64_t *)page, 0x7f31c0000000u);
    else if (kind < 50) random_page((uint64_t *)page);
    else if (kind < 65) integer_page((uint32_t *)page);
    else if (kind < 80) text_page(page);
    else if (kind < 90) double_page((double *)page);
    else memset(page, 0, PAGE);
  }
  crash_here((volatile int *)0);
  return 0;
}
