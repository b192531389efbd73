//! Randomness as an argument: the system's source in the program, a seeded one in tests.

/// A source of random bytes.
pub trait Random {
    /// Fills `buffer` with random bytes.
    fn fill(&mut self, buffer: &mut [u8]);

    /// A number below `range` (at most 256), each as likely as the others.
    fn below(&mut self, range: usize) -> usize {
        let range = range.clamp(1, 256);
        let fair = 256 - 256 % range;
        loop {
            let mut byte = [0_u8];
            self.fill(&mut byte);
            let [byte] = byte.map(usize::from);
            if byte < fair {
                return byte % range;
            }
        }
    }

    /// A random number.
    fn number(&mut self) -> u64 {
        let mut bytes = [0_u8; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, buffer: &mut [u8]) {
        // getrandom(2) fails only where the kernel has no source at all. Guessable aliases would be worse than no program.
        if getrandom::fill(buffer).is_err() {
            std::process::abort();
        }
    }
}

/// A repeatable sequence, for tests (SplitMix64).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
    }
}
