//! How long work reports itself, without knowing who looks.

/// Receives the progress of one long computation.
///
/// Implementations are cheap to call; a computation calls [`Progress::advance`] at most once per batch.
pub trait Progress: Send + Sync {
    /// Work of `total` steps begins; `what` is a short noun phrase such as `epoch 3`, `unit` such as `images`.
    fn begin(&self, what: &str, total: u64, unit: &str);

    /// `steps` more steps are done.
    fn advance(&self, steps: u64);

    /// A short remark beside the bar, such as `loss 1.234`.
    fn note(&self, text: &str);

    /// Whether the user asked to stop; the computation then returns [`Interrupted`] at its next safe point.
    fn cancelled(&self) -> bool;
}

/// The user asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Says nothing and never stops.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// Passes on whether to stop, and says nothing: for a part of work whose progress others report.
pub struct Unseen<'a>(pub &'a dyn Progress);

impl Progress for Unseen<'_> {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Where a long computation keeps its place, so that a killed run goes on to the same bytes.
pub trait Checkpoint {
    /// The last saved state, if there is one that is whole.
    fn load(&mut self) -> anyhow::Result<Option<Vec<u8>>>;

    /// Replaces the saved state; a kill meanwhile leaves the old or the new one.
    fn save(&mut self, state: &[u8]) -> anyhow::Result<()>;
}

/// Keeps nothing: for tests and for work too short to resume.
pub struct Forget;

impl Checkpoint for Forget {
    fn load(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn save(&mut self, _: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What tests of long work need.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Checkpoint, Progress};

    /// Asks to stop after some steps.
    pub(crate) struct Patience(AtomicU64);

    impl Patience {
        /// After this many steps.
        pub(crate) fn of(steps: u64) -> Self {
            Self(steps.into())
        }
    }

    impl Progress for Patience {
        fn begin(&self, _: &str, _: u64, _: &str) {}
        fn advance(&self, steps: u64) {
            self.0.fetch_sub(steps, Ordering::Relaxed);
        }
        fn note(&self, _: &str) {}
        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
    }

    /// A checkpoint in memory.
    #[derive(Default)]
    pub(crate) struct Kept(pub(crate) Option<Vec<u8>>);

    impl Checkpoint for Kept {
        fn load(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
            Ok(self.0.clone())
        }

        fn save(&mut self, state: &[u8]) -> anyhow::Result<()> {
            self.0 = Some(state.to_vec());
            Ok(())
        }
    }
}
