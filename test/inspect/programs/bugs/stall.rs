// A stall in Rust with many bugs. `stall BUG [DEPTH] [thread]` runs into one of them.
use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;

struct Item {
    price: u32,
    next: Option<Box<Item>>,
}

fn first_price(item: &Option<Item>) -> u32 {
    item.as_ref().unwrap().price
}
fn total() -> u32 {
    first_price(black_box(&None)) + black_box(0)
}
fn pick(items: &[u32], at: usize) -> u32 {
    items[at]
}
fn show() -> u32 {
    pick(black_box(&[1, 2]), black_box(7)) + black_box(0)
}
fn refuse(why: &str) -> u32 {
    panic!("refused: {}", why)
}
fn open_stall() -> u32 {
    refuse(black_box("full")) + black_box(0)
}
fn parse(text: &str) -> u32 {
    text.parse::<u32>().expect("a number")
}
fn read_number() -> u32 {
    parse(black_box("tea")) + black_box(0)
}
fn borrow_twice(cell: &RefCell<u32>) -> u32 {
    let _first = cell.borrow_mut();
    let second = cell.borrow_mut();
    *second
}
fn restock() -> u32 {
    borrow_twice(black_box(&RefCell::new(1))) + black_box(0)
}
fn price_of(prices: &HashMap<String, u32>, key: &str) -> u32 {
    prices[key]
}
fn look_up() -> u32 {
    price_of(black_box(&HashMap::new()), black_box("tea")) + black_box(0)
}
fn walk(item: &Item, depth: u32) -> u32 {
    if depth == 0 {
        return item.next.as_ref().unwrap().price;
    }
    walk(black_box(item), depth - 1) + black_box(1)
}
fn count(depth: u32) -> u32 {
    walk(black_box(&Item { price: 1, next: None }), depth) + black_box(0)
}
fn average(sum: u32, count: u32) -> u32 {
    sum / count
}
fn report() -> u32 {
    average(black_box(100), black_box(0)) + black_box(0)
}

fn run(bug: u32, depth: u32) -> u32 {
    match bug {
        1 => total(),
        2 => show(),
        3 => open_stall(),
        4 => read_number(),
        5 => restock(),
        6 => look_up(),
        7 => count(depth),
        8 => report(),
        _ => 0,
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let bug: u32 = args[1].parse().unwrap_or(0);
    let depth: u32 = args.get(2).and_then(|text| text.parse().ok()).unwrap_or(3);
    if args.len() <= 3 {
        std::process::exit(run(bug, depth) as i32);
    }
    std::thread::spawn(move || run(bug, depth)).join().ok();
}
