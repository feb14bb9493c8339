//! Chance from a seed, by sums and comparisons only: the same on every machine, whatever its
//! mathematics library.

/// A SplitMix64 generator (G. L. Steele and others, *Fast splittable pseudorandom number generators*,
/// 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1, by comparing uniform numbers (J. von Neumann, *Various techniques used in
    /// connection with random digits*, 1951).
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.uniform();
            let mut last = first;
            let mut falls = 0_u32;
            loop {
                let next = self.uniform();
                if next >= last {
                    break;
                }
                last = next;
                falls += 1;
            }
            if falls.is_multiple_of(2) {
                return whole + first;
            }
            whole += 1.0;
        }
    }
}

#[test]
fn exponential_numbers_have_their_mean_and_variance() {
    let mut random = Random::new(1);
    let numbers: Vec<f64> = (0..100_000).map(|_| random.exponential()).collect();
    let mean = numbers.iter().sum::<f64>() / 100_000.0;
    let square = numbers.iter().map(|number| number * number).sum::<f64>() / 100_000.0;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    assert!((square - 2.0).abs() < 0.08, "{square}");
}
