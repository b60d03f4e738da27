//! Memory for intermediate results that is used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A block of numbers that goes back to a common pool when dropped: the system takes longer to hand out fresh pages than the numbers to compute.
#[derive(Debug)]
pub struct Buffer {
    values: Vec<f32>,
    len: usize,
}

/// Blocks that nobody uses, shortest first.
static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// How many numbers may lie in the pool (256 MiB).
const LIMIT: usize = 64 << 20;

impl Buffer {
    /// A block of `len` numbers with unspecified content.
    pub fn new(len: usize) -> Self {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pool.partition_point(|block| block.len() < len);
        // A block of more than twice the size is kept for those that need it.
        let found = (at < pool.len() && pool[at].len() <= 2 * len.max(256)).then(|| pool.remove(at));
        drop(pool);
        Self { values: found.unwrap_or_else(|| vec![0.0; len]), len }
    }

    /// A copy of `values`.
    pub fn copy(values: &[f32]) -> Self {
        let mut buffer = Self::new(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.values);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pool.partition_point(|other| other.len() < block.len());
        pool.insert(at, block);
        while pool.iter().map(Vec::len).sum::<usize>() > LIMIT {
            pool.pop();
        }
    }
}
