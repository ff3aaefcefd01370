// Aborts from a thread.
fn main() {
    std::thread::spawn(|| std::process::abort()).join().unwrap();
}
