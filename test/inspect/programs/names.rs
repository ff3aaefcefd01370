// Crashes below functions whose names have what Rust puts into names.
use std::fmt::Debug;

struct Cart<T, const N: usize>(Vec<T>, [u8; N]);

trait Total {
    fn total(&self, with: &dyn Fn(&str) -> i32) -> i32;
}

impl<T: Debug + Clone, const N: usize> Total for Cart<T, N> {
    #[inline(never)]
    fn total(&self, with: &dyn Fn(&str) -> i32) -> i32 {
        let text = format!("{:?}", self.0);
        with(&text) + self.1[N - 1] as i32
    }
}

mod deep {
    #[inline(never)]
    pub fn crash<F: FnOnce(&'static [i32], (u8, char)) -> i32>(last: F) -> i32 {
        last(&[1, 2], (3, 'x')) + 1
    }
}

fn main() {
    let cart = Cart(vec![Some(1), None], [1u8; 3]);
    let found = cart.total(&|text| {
        deep::crash(|numbers, _pair| {
            if text.len() > 3 {
                std::process::abort();
            }
            numbers[0]
        })
    });
    println!("{found}");
}
