// A panic in a thread; built with panic=abort.
trait Shape {
    fn area(&self) -> f64;
}

struct Square(Option<f64>);

impl Shape for Square {
    #[inline(never)]
    fn area(&self) -> f64 {
        self.0.unwrap() * 2.0
    }
}

#[inline(never)]
fn sum(shapes: &[Box<dyn Shape + Send>]) -> f64 {
    shapes.iter().map(|shape| shape.area()).sum()
}

fn main() {
    let shapes: Vec<Box<dyn Shape + Send>> = vec![Box::new(Square(Some(1.0))), Box::new(Square(None))];
    let worker = std::thread::Builder::new().name("worker-7".into());
    println!("{}", worker.spawn(move || sum(&shapes)).unwrap().join().unwrap());
}
