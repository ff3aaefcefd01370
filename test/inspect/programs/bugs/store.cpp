// A store in C++ with many bugs. `store BUG [DEPTH] [thread]` runs into one of them.
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

static volatile int zero = 0;
static volatile int sink;
static char *volatile no_text = nullptr;

#ifdef REBUILT
static volatile long audit_count;
__attribute__((noinline, used)) static long audit(long value) {
  for (int at = 0; at < 100; at++) audit_count += value * at;
  return audit_count;
}
#define AUDIT() audit(zero)
#else
#define AUDIT() ((void)0)
#endif

namespace store {

struct Item { int price; std::string name; virtual ~Item() = default; virtual int cost() const { return price; } };
struct Special : Item { int bonus = 0; };
Item *volatile nothing = nullptr;

class Cart {
 public:
  int first() const { return items.at(static_cast<size_t>(zero) + 3); }
  int lookup(const std::string &key) const { return prices.at(key); }
  void refuse() const { if (zero == 0) throw std::runtime_error("refused"); }
  int pay() const { AUDIT(); refuse(); return zero; }
  int weigh(const Item *item) const { return item->price + zero; }
 private:
  std::vector<int> items{1, 2};
  std::map<std::string, int> prices;
};

template <typename T> int convert(const T *value) { return static_cast<int>(*value) + zero; }
int convert_int() { AUDIT(); return convert<int>(reinterpret_cast<int *>(no_text)) + zero; }

int show_first() { Cart cart; AUDIT(); return cart.first() + zero; }
int show_price() { Cart cart; AUDIT(); return cart.lookup("tea") + zero; }
int pay_cart() { Cart cart; return cart.pay() + zero; }
int weigh_nothing() { Cart cart; AUDIT(); return cart.weigh(nothing) + zero; }

int make_name() { AUDIT(); std::string name(no_text); return static_cast<int>(name.size()); }

int run_callback() {
  int seen = zero;
  std::function<int(Item *)> callback = [seen](Item *item) { return item->price + seen; };
  AUDIT();
  return callback(nothing) + zero;
}

int cost_of(const Item *item) { return item->cost() + zero; }
int sum_costs() { AUDIT(); return cost_of(nothing) + zero; }

const Special &as_special(const Item &item) { return dynamic_cast<const Special &>(item); }
int give_bonus() { Item item; AUDIT(); return as_special(item).bonus + zero; }

void throw_number() { if (zero == 0) throw 7; }
void never_throws() noexcept { throw_number(); }
int trust() { AUDIT(); never_throws(); return zero; }

void forget_thread() { std::thread other([] { std::this_thread::sleep_for(std::chrono::seconds(5)); }); sink = 1; }
int hire() { AUDIT(); forget_thread(); return zero; }

struct Base { Base() { init(); } virtual ~Base() = default; __attribute__((noinline)) void init() { prepare(); } virtual void prepare() = 0; };
struct Derived : Base { void prepare() override { sink = 2; } };
int build_derived() { AUDIT(); Derived derived; return sink + zero; }

void delete_twice(Item *item) { delete item; if (zero == 0) ::operator delete(static_cast<void *>(item)); }
int clear_store() { AUDIT(); delete_twice(new Item()); return zero; }

int parse_list(const char *text, int depth) { volatile char room[2048]; room[depth & 1023] = text[0]; return depth == -1 ? 0 : parse_list(text, depth + 1) + room[depth & 1023]; }
int parse_menu() { AUDIT(); return parse_list("[", zero) + zero; }

int number_of(const std::string &text) { return std::stoi(text) + zero; }
int read_number() { AUDIT(); return number_of("tea") + zero; }

struct Node { std::unique_ptr<Node> next; int value = 1; };
int depth_of(const Node *node, int depth) { return depth <= 0 ? node->value + zero : depth_of(node, depth - 1) + zero + 1; }
int measure(int depth) { AUDIT(); return depth_of(reinterpret_cast<Node *>(no_text), depth) + zero; }

}  // namespace store

static int run(int bug, int depth) {
  using namespace store;
  switch (bug) {
    case 1: return show_first();
    case 2: return show_price();
    case 3: return pay_cart();
    case 4: return weigh_nothing();
    case 5: return convert_int();
    case 6: return make_name();
    case 7: return run_callback();
    case 8: return sum_costs();
    case 9: return give_bonus();
    case 10: return trust();
    case 11: return hire();
    case 12: return build_derived();
    case 13: return clear_store();
    case 14: return parse_menu();
    case 15: return read_number();
    case 16: return measure(depth);
  }
  return 0;
}

int main(int argc, char **argv) {
  const int bug = argc > 1 ? std::atoi(argv[1]) : 0;
  const int depth = argc > 2 ? std::atoi(argv[2]) : 3;
  if (argc <= 3) return run(bug, depth);
  std::thread worker([bug, depth] { sink = run(bug, depth); });
  worker.join();
  return 0;
}
