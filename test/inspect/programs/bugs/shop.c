// A shop in C with many bugs. `shop BUG [DEPTH] [thread]` runs into one of them; each begins with its number.
#define _GNU_SOURCE
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
  int price;
  struct item *next;
  int (*discount)(int);
};
struct order {
  struct item *items;
  char name[16];
};

// What the compiler can't know.
static volatile int zero = 0;
static volatile long far = 1L << 40;
static struct item *volatile nothing = NULL;
static char *volatile no_text = NULL;
static volatile int sink;

#ifdef REBUILT
// Another version of the program: other code, other lines, other offsets.
static volatile long audit_count;
__attribute__((noinline, used)) static long audit(long value) {
  for (int at = 0; at < 100; at++) audit_count += value * at;
  return audit_count;
}
#define AUDIT() audit(zero)
#else
#define AUDIT() ((void)0)
#endif

static int price_of(const struct item *item) { return item->price; }
static int total_of(const struct order *order) { AUDIT(); return price_of(order->items) + zero; }

static int average_price(int sum, int count) { return sum / count; }
static int show_average(void) { AUDIT(); int value = average_price(100, zero); sink = value; return value + zero; }

static void check_total(int total) { assert(total > 0); }
static int close_order(void) { AUDIT(); check_total(zero); return zero; }

static void refuse(const char *why) { if (why[0] != 0) abort(); }
static int open_order(void) { AUDIT(); refuse("full"); return zero + 1; }

static void copy_items(char *to, const char *from, size_t size) { memcpy(to, from, size); sink = to[zero]; }
static int backup_order(void) { char *to = malloc(64); AUDIT(); copy_items(to, no_text, 48 + zero); free(to); return zero; }

static size_t name_length(const char *name) { return strlen(name) + (size_t)zero; }
static int print_label(void) { AUDIT(); return (int)name_length(no_text) + zero; }

static int apply_discount(const struct item *item, int price) { return item->discount(price) + zero; }
static int sell(void) { struct item item = {1, NULL, NULL}; AUDIT(); item.discount = (int (*)(int))(long)zero; return apply_discount(&item, 3) + zero; }

static int walk_items(const struct item *item, int depth) {
  if (depth <= 0) return price_of(nothing);
  return walk_items(item, depth - 1) + zero + 1;
}
static int count_stock(int depth) { AUDIT(); return walk_items(nothing, depth) + zero; }

static int visit_box(int depth);
static int visit_shelf(int depth) { if (depth <= 0) { sink = *(volatile int *)far; } return visit_box(depth - 1) + zero + 1; }
static int visit_box(int depth) { if (depth < -1) return zero; return visit_shelf(depth) + zero + 2; }
static int take_stock(int depth) { AUDIT(); return visit_shelf(depth * 2) + zero; }

static int explode_set(int depth) { volatile char room[4096]; room[depth & 1023] = (char)depth; return depth == -1 ? 0 : explode_set(depth + 1) + room[depth & 1023]; }
static int expand_offer(void) { AUDIT(); return explode_set(zero) + zero; }

static void release_twice(char *text) { free(text); if (zero == 0) free(text); }
static int drop_order(void) { AUDIT(); release_twice(strdup("order")); return zero; }

static void release_middle(char *text) { free(text + 8 + zero); }
static int drop_part(void) { AUDIT(); release_middle(malloc(200)); return zero; }

static char *grow_list(char *list) { *(volatile long *)(list - 8) = 0x77777; return realloc(list, 5000 + (size_t)zero); }
static int add_item(void) { AUDIT(); char *list = grow_list(malloc(2000)); sink = list == NULL; return zero; }

__attribute__((noinline)) static void fill_name(const char *text, volatile int length) { char name[16]; volatile char *at = name; for (int i = 0; i < length; i++) at[i] = text[i & 3]; sink = name[zero]; }
static int set_name(void) { AUDIT(); fill_name("abcd", 64 + zero); return zero + 1; }

static int by_price(const void *a, const void *b) { const struct item *const *left = a; const struct item *const *right = b; return (*left)->price - (*right)->price; }
static int sort_items(void) { struct item *list[8] = {NULL}; AUDIT(); list[0] = nothing; qsort(list, 8, sizeof list[0], by_price); return list[0] == NULL; }

static void patch_text(volatile char *text) { text[zero] = 'x'; }
static int rename_shop(void) { AUDIT(); patch_text((char *)(long)"shop"); return zero + 1; }

static int read_slot(const int *table, long index) { return table[index]; }
static int find_slot(void) { static int table[4]; AUDIT(); return read_slot(table, far) + zero; }

static void stop_here(void) { if (zero == 0) __builtin_trap(); }
static int leave_shop(void) { AUDIT(); stop_here(); return zero + 1; }

static void charge(struct order *order) { order->name[zero] = 1; }
static int pay_cash(void) { AUDIT(); charge((struct order *)nothing); return zero + 1; }

// Two bugs in one helper: whoever calls it is the one who is wrong.
__attribute__((noinline)) static int checked_get(const int *from) { return from[zero]; }
static int read_cart(void) { AUDIT(); return checked_get((int *)nothing) + zero; }
static int read_stock(void) { AUDIT(); return checked_get((int *)nothing) + zero + 1; }

static void write_log(const char *text) { char line[64]; snprintf(line, sizeof line, "%s", text + zero); sink = line[zero]; }
static int log_sale(void) { AUDIT(); write_log((const char *)1L); return zero + 1; }

static void on_fault(int number) { signal(number, SIG_DFL); sink = number; raise(number); }
static void stamp(struct item *item) { item->price = 1; }
static int watched_sale(void) { signal(SIGSEGV, on_fault); AUDIT(); stamp(nothing); return zero; }

static void clean_up(int number) { sink = number; stamp(nothing); }
static int wait_for_end(void) { signal(SIGTERM, clean_up); signal(SIGALRM, clean_up); alarm(1); sleep(30); return zero; }

static void flush_books(void) { sink = price_of(nothing); }
static int end_of_day(void) { AUDIT(); atexit(flush_books); exit(0); }

static void *const jumps[] = {NULL};
static int jump_away(void) { int (*away)(void) = (int (*)(void))((long)jumps[zero] + 0x4141); return away() + zero; }
static int close_shop(void) { AUDIT(); return jump_away() + zero; }

static int run(int bug, int depth) {
  static struct order order;
  switch (bug) {
    case 1: return total_of(&order);
    case 2: return show_average();
    case 3: return close_order();
    case 4: return open_order();
    case 5: return backup_order();
    case 6: return print_label();
    case 7: return sell();
    case 8: return count_stock(depth);
    case 9: return take_stock(depth);
    case 10: return expand_offer();
    case 11: return drop_order();
    case 12: return drop_part();
    case 13: return add_item();
    case 14: return set_name();
    case 15: return sort_items();
    case 16: return rename_shop();
    case 17: return find_slot();
    case 18: return leave_shop();
    case 19: return pay_cash();
    case 20: return read_cart();
    case 21: return read_stock();
    case 22: return log_sale();
    case 23: return watched_sale();
    case 24: return wait_for_end();
    case 25: return end_of_day();
    case 26: return close_shop();
  }
  return 0;
}

static int chosen, chosen_depth;
static void *in_thread(void *unused) { (void)unused; sink = run(chosen, chosen_depth); return NULL; }

int main(int argc, char **argv) {
  chosen = argc > 1 ? atoi(argv[1]) : 0;
  chosen_depth = argc > 2 ? atoi(argv[2]) : 3;
  if (argc <= 3) return run(chosen, chosen_depth);
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, NULL);
  pthread_join(thread, NULL);
  return 0;
}
